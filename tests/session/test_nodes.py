from memscope.session.nodes import Branch, Content, Header, Memory, Session


def test_the_prompt_takes_sections_in_their_order_and_nodes_in_file_order() -> None:
    said = Branch(role="user", children=(Content(text="Hi"),))
    nodes = (said, Memory(key="b", text="B"), Memory(key="a", text="A", section="identity"))
    session = Session(header=Header(id="s"), nodes=nodes)
    assert list(session.prompt_order()) == [
        ("identity", 0, nodes[2]),
        ("conversation", 0, said),
        ("conversation", 1, nodes[1]),
    ]


def test_a_memory_that_appears_again_is_one_memory() -> None:
    inside = Branch(role="user", children=(Memory(key="b", text="B"), Memory(key="a", text="A again")))
    session = Session(header=Header(id="s"), nodes=(inside, Memory(key="a", text="A", section="identity")))
    assert session.memory_keys() == ("a", "b")
