"""What every protocol may refuse."""


class EvaluationError(ValueError):
    """Photos, masks or settings that cannot be evaluated: one sentence for the user."""
