import pytest

from unit.context.code.resolve.tree import links, take

TREE = ("lib/side.rb", "lib/side/api.rb", "lib/side/rails.rb", "test/helper.rb", "gems/x/lib/extra.rb", "app/m/user.rb")


@pytest.mark.parametrize(
    ("origin", "module", "kind", "target"),
    [
        ("lib/side/web.rb", "api", "require_relative", "lib/side/api.rb"),
        ("lib/side/web.rb", "../side.rb", "require_relative", "lib/side.rb"),
        ("lib/side/web.rb", "../../../x", "require_relative", None),
        ("test/a.rb", "side/api", "require", "lib/side/api.rb"),
        ("test/a.rb", "side", "require", "lib/side.rb"),
        ("lib/side.rb", "side/api", "autoload", "lib/side/api.rb"),
        ("test/deep/a.rb", "helper", "require", "test/helper.rb"),
        ("lib/side/web.rb", "helper", "require", None),
        ("lib/side/web.rb", "rails", "require", None),
        ("test/a.rb", "extra", "require", "gems/x/lib/extra.rb"),
        ("test/a.rb", "m/user", "require", "app/m/user.rb"),
        ("test/a.rb", "./helper", "require", "test/helper.rb"),
        ("test/a.rb", "json", "require", None),
        ("test/a.rb", "", "require", None),
    ],
)
def test_required_files(origin: str, module: str, kind: str, target: str | None) -> None:
    files = {**dict.fromkeys(TREE, ()), origin: (take(module, kind=kind),)}
    assert links("ruby", files).get(origin, []) == ([target] if target else [])
