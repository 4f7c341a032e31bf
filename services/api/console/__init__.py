"""What the page's inspector, jobs and indices ask for, besides search: for keys with the scope `admin`."""
