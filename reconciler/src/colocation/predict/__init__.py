"""What a pod will need: decaying histograms of its use, and the peak they predict. Pure; time is an input."""

from colocation.predict.histogram import CPU, MEMORY, Histogram, Scale
from colocation.predict.peak import Histories, PodHistory

__all__ = ["CPU", "MEMORY", "Histogram", "Histories", "PodHistory", "Scale"]
