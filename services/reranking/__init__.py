"""Lists that somebody gives, put in another order by a cross-encoder or a bi-encoder."""
