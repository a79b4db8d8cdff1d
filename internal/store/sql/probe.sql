-- Changes nothing, but writes and commits.
update dcm.compatibility set oldest_program = oldest_program
