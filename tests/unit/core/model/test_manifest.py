from branchline.core.model.manifest import BUDGETS, ContextRequest, ContextSettings


def test_the_budget_is_what_was_asked_for_or_the_task_types_within_the_agents_window() -> None:
    assert ContextRequest(task_type="plan").budget == BUDGETS["plan"]
    assert ContextRequest(settings=ContextSettings(max_tokens=500)).budget == 500
    assert ContextRequest(settings=ContextSettings(max_tokens=500, window=100)).budget == 100
