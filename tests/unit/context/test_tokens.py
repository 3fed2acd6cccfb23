"""Token counts: the estimate beside a real tokenizer, its cost, and what happens without one."""

import sys
import time
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchline.context.tokens import Counter, counter, estimate, estimate_bytes
from branchline.errors import InvalidInput

PYTHON = '''\
class Ledger(Writer):
    """Append-only records, one line each."""

    def append(self, record: Record, *, sync: bool = False) -> int:
        data = encode(record)
        if len(data) > self.max_bytes:
            raise LedgerError(f"record {record.id} has {len(data)} bytes")
        written = os.write(self._fd, data)
        if sync and written == len(data):
            os.fsync(self._fd)
        return self.offset + written
'''
TYPESCRIPT = """\
export async function fetchUser(id: string, options?: RequestOptions): Promise<User | undefined> {
  const response = await client.get(`/users/${encodeURIComponent(id)}`, { timeout: 30_000, ...options });
  if (response.status === 404) {
    return undefined;
  }
  return parseUser(response.data as Record<string, unknown>);
}
"""
GO = """\
// Flush writes what is buffered and reports the number of bytes.
func (w *Writer) Flush(ctx context.Context) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("flush %s: %w", w.name, err)
	}
	n, err := w.out.Write(w.buf[:w.used])
	w.used -= n
	return n, err
}
"""
RUST = """\
impl<'a> Parser<'a> {
    pub fn next_token(&mut self) -> Result<Option<Token>, ParseError> {
        self.skip_whitespace();
        match self.chars.peek() {
            Some((_, '0'..='9')) => self.number().map(Some),
            Some(&(at, other)) => Err(ParseError::unexpected(at, other)),
            None => Ok(None),
        }
    }
}
"""
MARKDOWN = """\
# Getting started

Install the package, then run `branchline init` in a repository. It writes a configuration that you can edit:

- **gates** say what has to pass before a change is taken in,
- **agents** say who does the work, and with which limits.

See [the reference](docs/configuration.md) for every key.
"""
JSON = (
    '{\n  "name": "example",\n  "version": "1.4.2",\n  "scripts": {"build": "tsc -p .", "test": "vitest run"}\n}\n' * 3
)
SAMPLES = {"python": PYTHON, "typescript": TYPESCRIPT, "go": GO, "rust": RUST, "markdown": MARKDOWN, "json": JSON}


@pytest.fixture(scope="module")
def exact() -> Counter:
    return counter(True)


@pytest.mark.parametrize("language", SAMPLES)
def test_the_estimate_is_near_the_real_count(language: str, exact: Counter) -> None:
    text = SAMPLES[language]
    assert estimate(text) == pytest.approx(exact.count(text), rel=0.15)


@pytest.mark.parametrize(
    "line",
    [
        "getUserNameFromRequestContext(parseHttpHeaderValue)\n",
        "[0.25, 13, 7, 128, 3.5, 99, 1024, 12],\n",
        "  name: frontend\n  image: nginx\n  restart: always\n",
    ],
)
def test_capitals_numbers_and_line_ends_are_tokens_too(line: str, exact: Counter) -> None:
    assert estimate(line * 20) == pytest.approx(exact.count(line * 20), rel=0.2)


def test_a_large_text_is_estimated_from_pieces_as_well_as_whole(exact: Counter) -> None:
    mixed = "".join(SAMPLES.values()) * 40
    assert len(mixed) > 50_000
    assert estimate(mixed) == pytest.approx(exact.count(mixed), rel=0.1)


def test_the_cost_of_an_estimate_does_not_grow_with_the_text() -> None:
    data = PYTHON.encode() * 100_000
    start = time.process_time()
    estimate_bytes(data)
    assert time.process_time() - start < 0.05


def test_other_scripts_are_not_free(exact: Counter) -> None:
    for text in ("这是一个用于测试的中文句子。" * 20, "これはテスト用の日本語の文章です。" * 20):
        assert estimate(text) == pytest.approx(exact.count(text), rel=0.3)


def test_only_an_empty_text_costs_nothing() -> None:
    assert estimate("") == 0
    assert [estimate(text) for text in ("x", "\n", "\0", ".", "\ud800")] == [1] * 5


@given(st.text(st.characters(), max_size=300), st.integers(1, 60))
def test_any_text_has_an_estimate_within_its_bytes(text: str, times: int) -> None:
    data = (text * times).encode("utf-8", "surrogatepass")
    assert bool(data) <= estimate_bytes(data) <= 4 * len(data)
    assert estimate(text * times) == estimate_bytes(data)


def test_the_names_and_margins_of_both_counters(exact: Counter) -> None:
    quick = counter(False)
    assert (quick.name, quick.margin, quick.count("Hello, world")) == ("estimate", 0.1, estimate("Hello, world"))
    assert (exact.name, exact.margin) == ("o200k_base", 0.02)


def test_known_counts_of_the_real_tokenizer(exact: Counter) -> None:
    assert [exact.count(text) for text in ("", "hello world", "def f():\n    pass\n")] == [0, 2, 6]


def test_the_real_tokenizer_takes_any_text(exact: Counter) -> None:
    assert exact.count("<|endoftext|>") > 1  # the text, not the sign that ends a text
    assert exact.count("name\udcff\ud800") > 0
    assert exact.count("a" * 1_000_000) > 1000


def test_without_the_extra_the_command_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "toktok", None)
    with pytest.raises(InvalidInput) as caught:
        counter(True)
    assert caught.value.hint == 'pip install "branchline[tokens]"'
    assert counter(False).count("still counted") > 0


def test_another_package_of_that_name_is_no_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "toktok", ModuleType("toktok"))
    with pytest.raises(InvalidInput):
        counter(True)
