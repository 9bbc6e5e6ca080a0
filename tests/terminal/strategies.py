"""Texts of words that are hard to tell apart."""

from hypothesis import strategies as st

WORDS = st.sampled_from(["the", "port", "is", "7432", "9000", ",", "数", "库", "👩‍💻", "e\u0301", "🇩🇪", "don't", "a-b"])
BLANKS = st.sampled_from([" ", " ", " ", "  ", "\n", "\t", ""])
TEXTS = st.one_of(
    st.lists(st.tuples(WORDS, BLANKS), max_size=30).map(lambda parts: "".join(w + b for w, b in parts)),
    st.text(max_size=60),
)
SENTENCES = st.lists(WORDS, max_size=30).map(" ".join)
