"""The lines of the table hold the issue's goals, each beside what is to be beaten."""

from geolangbind.demo_interleaved.goals import BOX_TYPE, CUT, DUAL, MLP, OURS, TOLD, Goal, lines
from geolangbind.demo_interleaved.world import WorldSettings, rankings


def goals():
    return {(line.title, line.model): line.goal for line in lines() if line.goal}


def test_every_region_line_has_its_controls_and_ours_comes_first():
    by_title = {}
    for line in lines():
        by_title.setdefault(line.title, []).append(line.model)
    region = [models for title, models in by_title.items() if title.startswith(("region -> phrase, ", "phrase ->")) and len(models) > 1]
    assert len(region) == 7
    assert all(models == [OURS, CUT, TOLD, MLP, BOX_TYPE] for models in region)
    assert all(models[0] == OURS for models in by_title.values())
    titles = [line.title for line in lines()]
    assert all(titles[n] in (titles[n - 1], *set(by_title) - set(titles[:n])) for n in range(1, len(titles)))  # a task stands together


def test_goals_are_those_of_the_issue():
    found = goals()
    for control in (CUT, TOLD):
        assert found["region -> phrase, relational", control] == Goal("ahead", 0.2)
        assert found["phrase -> box, same image", control] == found["phrase -> box, across images", control] == Goal("ahead", 0.15)
    assert found["region -> phrase, landmark", MLP] == Goal("beyond")
    assert found["scene -> place, image", DUAL] == Goal("times", 2)
    assert found["scene -> class", DUAL] == found["scene -> caption", DUAL] == Goal("within", 0.02)
    assert found["region -> phrase, DEM: the same asked of RGB", OURS] == Goal("within", 0.1, ("sensors_dem",))
    assert found["two dates -> change", OURS] == Goal("chance", 5)
    assert {str(goal) for goal in found.values()} == {
        "ahead by >= 20 points", "ahead by >= 15 points", "ahead by more than the interval", ">= 2 times as much",
        "at most 2 points behind", "at most 10 points behind", "ahead", ">= 5 times chance",
    }  # fmt: skip


def test_half_of_the_relational_queries_name_a_landmark():
    (tasks,) = {line.tasks for line in lines() if line.title == "region -> phrase, relational"}
    assert sorted(tasks) == ["region_extreme", "region_landmark", "region_landmark", "region_size"]


def test_lines_and_rankings_are_of_one_world():
    settings = WorldSettings(held_out=12, held_out_sensors=12, held_out_changed=4, held_out_ordinary=20, queries=4, places=4)
    made = rankings(settings.split("test"), settings)
    assert {task for line in lines() for task in line.tasks} == set(made)
    compared = [(line.tasks[0], line.goal.tasks[0]) for line in lines() if line.goal and line.goal.tasks]
    assert len(compared) == 5
    for asked, ours in compared:  # query by query
        assert [row.id for row in made[asked]] == [row.id for row in made[ours]]
