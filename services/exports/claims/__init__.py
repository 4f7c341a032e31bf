"""What any file of the field claims about queries and passages: readers, one per family of formats."""
