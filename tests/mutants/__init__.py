"""Wrong changes that the tests must notice: a table of them, and a script that tries them one by one."""
