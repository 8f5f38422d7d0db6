"""Small general parts that know nothing about mail."""
