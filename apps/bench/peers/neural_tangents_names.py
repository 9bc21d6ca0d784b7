"""What neural-tangents 0.6.5 needs of JAX and newer versions lack: imported before it, this puts it back.

The library was last released for JAX 0.4.2x. Its sources run unchanged up to JAX 0.5.3 with the four names below put
back; `neural_tangents.experimental`, which alone needs TensorFlow, is left out.
"""

import sys
import types

import jax
from jax._src import source_info_util
from jax.interpreters import ad

sys.modules["neural_tangents.experimental"] = types.ModuleType("neural_tangents.experimental")
if not hasattr(jax.random, "KeyArray"):
    jax.random.KeyArray = jax.Array
if not hasattr(ad, "source_info_util"):
    ad.source_info_util = source_info_util
if not hasattr(ad, "config"):
    ad.config = jax.config
