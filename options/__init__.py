"""What may be given for an option, and what is refused, in words."""

from options.choices import by_name
from options.limits import check_above, check_at_least, check_between, check_whole

__all__ = ["by_name", "check_above", "check_at_least", "check_between", "check_whole"]
