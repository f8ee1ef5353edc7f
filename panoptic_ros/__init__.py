"""Panoptic perception for robots: camera images in, labelled segments out."""

from pkgutil import extend_path

# The generated panoptic_ros.msg lies in the install space. Where Python finds
# this source tree first (any command run from it), the messages still belong.
__path__ = extend_path(__path__, __name__)

__version__ = "0.1.0"
