"""What tests of pipelines need: a process that dies at a named point."""
