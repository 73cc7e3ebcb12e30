"""How far a run of the workflow is: what running jobs report, and what a person sees of it."""
