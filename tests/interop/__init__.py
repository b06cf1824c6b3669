"""The frameworks' own loops over turnkeep; they run in an environment of their own."""
