"""What strangers send: values for Hypothesis."""

from hypothesis import strategies as st

text = st.text(max_size=20) | st.sampled_from(["\0", "\ud800", "\u202e", "\u200b", "'\"\\", "%00", "../", "a" * 5000])
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | text
    | st.sampled_from([10**400, -1, 2**63])
)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(text, inner, max_size=5), max_leaves=10
)
json_objects = st.dictionaries(text, json_values, max_size=5)
