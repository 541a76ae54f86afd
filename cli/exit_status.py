"""What help says of the exit status; it imports nothing, so that help comes at once."""

EXIT_STATUS = (
    "[b]Exit status:[/b] 0 the run met its success criterion, 1 it did not, 2 wrong configuration or usage, "
    "3 stopped or paused, 4 internal failure, 5 it did, and its files or its output could not be written."
)
EXIT_STATUS_WATCHED = f"{EXIT_STATUS} Without [b]--watch[/b], on a deployed stack, 0 says that the run has begun."
