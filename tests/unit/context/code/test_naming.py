"""What each language's programs define: names, kinds, owners, and their lines, from samples of them."""

import pytest

from branchline.context.code.analyse import analyse
from branchline.context.code.analysis import Definition
from unit.context.samples import SAMPLES

DEFINED = {
    "app.py": r"""
constant LIMIT 13
constant first 14
constant second 14
type Alias 15
function guarded 17
class Outer 20-21-37
constant Outer.field 23
method Outer.long 26-30-33
class Outer.Nested 35-35-37
method Outer.Nested.deep 36-36-37
    """,
    "app.ts": r"""
function lazy 6
constant old 7
constant text 7
class Box 10-10-20
property Box.size 11
method Box.handler 12-12-14
method Box.constructor 15
method Box.value 17-17-19
class Shape 21
method Shape.area 21
interface Point 22
method Point.norm 22
type Pair 23
enum Color 24
namespace Inner 25
function helper 25
namespace mod 26
function declared 26
constant p 27-27-28
constant r 27-27-28
function arrow 27-27-28
function gen 29
method Box.extra 30
class made 31
    """,
    "view.tsx": r"""
function View 1-1-3
    """,
    "app.js": r"""
constant app 2
method app.use 3-3-5
class Old 6
property Old.#secret 6
method Old.run 6
    """,
    "app.go": r"""
struct Server 10-10-12
interface Reader 14-14-16
method Reader.Read 15
type ID 17
constant A 19-19-21
constant B 19-19-21
variable global 22
method Server.Run 25-27-29
function main 30
    """,
    "lib.rs": r"""
struct Point 9
enum Kind 10
trait Shape 11
method Shape.area 11
impl Point 12-12-17
constant Point.SIZE 13
method Point.fmt 14-14-16
method area 18
module inner 19
function inner.nested 19
macro mac 20
constant GLOBAL 21
type Short 22
    """,
    "App.java": r"""
class App 8-9-18
field App.ONE 10
field App.TWO 10
method App.App 11
method App.run 12-13-15
enum App.Level 16
constant App.Level.LOW 16
constant App.Level.HIGH 16
field App.Level.rank 16
interface App.Task 17
method App.Task.go 17
record Pair 19
interface Mark 20
method Mark.value 20
    """,
    "lib.c": r"""
macro LIB_H 2
macro MAX 5-5-6
struct node 7
type node_t 7
type node_p 7
struct pair 8
constant RED 9
constant GREEN 9
variable table 10
function declared 11
function defined 13-15-18
variable callback 19
variable otherwise 21
    """,
    "lib.cpp": r"""
class Stack 3-4-11
method Stack.Stack 6
method Stack.~Stack 7
method Stack.pop 8
method Stack.operator== 9
method Stack.pop 12-13-15
enum Mode 16
constant Mode.On 16
type Alias 17
function plain 18
    """,
    "App.cs": r"""
namespace App.Core 4
class Service 7-8-20
field Service.Max 10
property Service.Count 11
field Service.Changed 12
method Service.Service 13
method Service.Run 14-15-18
enum Service.Mode 19
constant Service.Mode.On 19
record Point 21
interface IService 22
method IService.Run 22
type Handler 23
    """,
    "app.rb": r"""
module Outer.Inner 5-5-21
class Outer.Inner.Worker 7-7-20
constant Outer.Inner.Worker.LIMIT 8
method Outer.Inner.Worker.build 9
method Outer.Inner.Worker.hidden 10-11-13
method Outer.Inner.Worker.meta 15
method Outer.Inner.Worker.mixed 18
method top 22-22-26
    """,
    "App.php": r"""
namespace App\Core 2
constant VERSION 7
class Service 8-9-19
constant Service.LIMIT 11
method Service.run 13-15-17
method Service.stub 18
interface Runs 20
method Runs.go 20
trait Mixin 21
method Mixin.mixed 21
enum Suit 22
constant Suit.Hearts 22
function helper 23
    """,
    "Page.vue": r"""
function clicked 6-6-8
    """,
    "App.kt": r"""
class Point 4-4-9
method Point.norm 5-5-7
method Point.Point.plus 8-8-9
function main 10
    """,
    "run.sh": r"""
function build 2-2-4
function clean 5-5-7
    """,
}


def written(one: Definition) -> str:
    """A definition as the table has it: kind, name, line; of one of several lines the head's last and the last."""
    owner = f"{one.parent}." if one.parent else ""
    lines = f"{one.line}-{one.signature_end}-{one.end}" if one.end > one.line else f"{one.line}"
    return f"{one.kind} {owner}{one.name} {lines}"


@pytest.mark.parametrize("path", SAMPLES)
def test_a_program_defines(path: str) -> None:
    found = analyse(SAMPLES[path].encode(), path).definitions
    assert [written(one) for one in found] == DEFINED[path].split("\n")[1:-1]


@pytest.mark.parametrize(
    ("path", "source", "names"),
    [
        ("a.py", "x.y = 1\nx[0] = 2\nf(1)\nimport a\n", []),
        ("a.py", "x: int\ny += 1\n", ["x"]),
        ("a.js", "const {a, b: {c}, ...d} = e, [f] = g;", ["a"]),
        ("a.js", "x.y = 1; f().z = function () {}; exports.q = () => 1;", ["q"]),
        ("a.rs", "mod other; impl<T> a::B<T> {} impl Trait for dyn C {}", ["B", "C"]),
        ("a.c", "struct only_named *f(void); struct { int a; } anonymous;", ["f", "anonymous"]),
        ("a.cpp", "int a::b::c<d<e>>::f() {} bool operator<(int a, int b) { return a; }", ["f", "operator<"]),
        ("a.cpp", "class Forward; class Declared { friend class Other; };", ["Declared"]),
        ("a.rb", "small = 1\nBIG = 2\n", ["BIG"]),
        ("a.go", "type (\n\tA struct{}\n\tB A\n)\nfunc (B) M() {}\n", ["A", "B", "M"]),
        ("a.h", "template <class T> struct A { void f(); };", ["A", "f"]),
    ],
)
def test_only_names_that_can_be_asked_for(path: str, source: str, names: list[str]) -> None:
    assert [one.name for one in analyse(source.encode(), path).definitions] == names
