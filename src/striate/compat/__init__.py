"""Our networks under the names of other libraries, for programs that were written for those."""

from striate.compat import timm as timm
