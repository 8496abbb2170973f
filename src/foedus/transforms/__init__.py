"""What happens to an update on its way."""

from foedus.core.transform import Plain, Transform
from foedus.transforms.clip import Clip
from foedus.transforms.error_feedback import ErrorFeedback
from foedus.transforms.top_k import TopK

__all__ = ["Clip", "ErrorFeedback", "Plain", "TopK", "Transform"]
