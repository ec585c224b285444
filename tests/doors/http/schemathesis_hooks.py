"""Bodies of the binary formats, for requests made from the OpenAPI document."""

from __future__ import annotations

import schemathesis
from hypothesis import strategies as st

from tests.doors.http.hostile import good
from timestore_pipeline.doors.http.formats import FORMATS

for _format in FORMATS:
    for _content_type in _format.types:
        if _format.name != "JSON":
            schemathesis.openapi.media_type(_content_type, st.binary() | st.sampled_from(list(good().values())))
