"""The SQL, one file for each resource; every function takes the connection of its caller's transaction."""
