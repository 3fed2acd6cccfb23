"""Texts that real agents and providers print: recorded, or out of their documentation."""

import pytest

from branchline.agents.stream import error_class


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        # Claude Code
        ("Invalid API key · Fix external API key", "auth"),
        ("Not logged in · Please run /login", "auth"),
        ("OAuth token has expired", "auth"),
        ("Credit balance is too low", "billing"),
        ("Claude AI usage limit reached", "billing"),
        ("Prompt is too long", "context_too_large"),
        (
            "There's an issue with the selected model (x). It may not exist or you may not have access to it.",
            "unknown_model",
        ),
        ("API Error: Request rejected (429) · This request would exceed the rate limit", "rate_limit"),
        ("API Error: 529 Overloaded. This is a server-side issue, usually temporary", "overloaded"),
        (
            "API Error: 500 Internal server error. If it persists, check your inference gateway (127.0.0.1:8080).",
            "server_error",
        ),
        ("API Error: Unable to connect to API (ConnectionRefused)", "connection"),
        ("API Error: Connection refused — a firewall or proxy may be blocking it (ECONNREFUSED)", "connection"),
        ("API Error: 400 messages.0: something is wrong", "bad_request"),
        # Codex
        ("unexpected status 401 Unauthorized: scripted fault, url: http://127.0.0.1:1/v1/responses", "auth"),
        ("Missing environment variable: `OPENAI_API_KEY`.", "auth"),
        ("You've hit your usage limit. Upgrade to Pro or try again in 3 days.", "billing"),
        ("exceeded retry limit, last status: 429 Too Many Requests", "rate_limit"),
        ("We\u2019re currently experiencing high demand, which may cause temporary errors.", "overloaded"),
        ("Connection failed: error sending request", "connection"),
        ("stream disconnected before completion: stream closed before response.completed", "connection"),
        (
            '{"error": {"type": "invalid_request_error", "code": "invalid_request_error", "message": "x"}}',
            "bad_request",
        ),
        ("input_too_large", "context_too_large"),
        # Aider
        ("litellm.AuthenticationError: AuthenticationError: OpenAIException - x", "auth"),
        ("The api_key client option must be set either by passing api_key to the client", "auth"),
        ("litellm.NotFoundError: NotFoundError: OpenAIException - x", "unknown_model"),
        ("litellm.BadRequestError: LLM Provider NOT provided. You passed model=x", "unknown_model"),
        ("litellm.RateLimitError: RateLimitError: OpenAIException - x", "rate_limit"),
        ("litellm.ServiceUnavailableError: x", "overloaded"),
        ("litellm.InternalServerError: InternalServerError: OpenAIException - x", "server_error"),
        ("litellm.InternalServerError: InternalServerError: OpenAIException - Connection error.", "connection"),
        ("litellm.ContextWindowExceededError: x", "context_too_large"),
        ("litellm.BadRequestError: x", "bad_request"),
        ("litellm.Timeout: x", "connection"),
        # Gemini
        ('{"error":{"type":"UNAUTHENTICATED","code":"UNAUTHENTICATED","message":"x"}}', "auth"),
        ("API key not valid. Please pass a valid API key.", "auth"),
        ("Please set an Auth method in your settings.json or specify one of: GEMINI_API_KEY", "auth"),
        ("models/x is not found for API version v1beta", "unknown_model"),
        ("You exceeded your current quota, please check your plan and billing details.", "billing"),
        ('{"error":{"status":"RESOURCE_EXHAUSTED"}}', "rate_limit"),
        ("The model is overloaded. Please try again later.", "overloaded"),
        ("The input token count (1200000) exceeds the maximum number of tokens allowed", "context_too_large"),
        # Qwen, OpenCode
        ("[API Error: 401 scripted fault]", "auth"),
        ("[API Error: Connection error. (cause: fetch failed)]", "connection"),
        ("Internal error: scripted fault", ""),
        # OpenAI's own
        ("This model's maximum context length is 128000 tokens", "context_too_large"),
        ("The model `x` does not exist or you do not have access to it.", "unknown_model"),
        ("You exceeded your current quota, please check your plan", "billing"),
        ("Rate limit reached for x on tokens per min (TPM): Limit 30000, Used 29000", "rate_limit"),
        # Nobody knows
        ("", ""),
        ("it did not work", ""),
    ],
)
def test_words_tell_the_class(words: str, expected: str) -> None:
    assert error_class(words) == expected


@pytest.mark.parametrize(
    ("status", "words", "expected"),
    [
        (401, "x", "auth"),
        (402, "x", "billing"),
        (403, "x", "auth"),
        (404, "x", "unknown_model"),
        (413, "x", "context_too_large"),
        (429, "x", "rate_limit"),
        (400, "x", "bad_request"),
        (422, "x", "bad_request"),
        (500, "x", "server_error"),
        (502, "x", "server_error"),
        (503, "x", "overloaded"),
        (529, "x", "overloaded"),
        # The number says more than the words ...
        (500, "the connection to the shard failed: 401", "server_error"),
        # ... but for these.
        (429, "You exceeded your current quota", "billing"),
        (400, "Your credit balance is too low", "billing"),
        (400, "prompt is too long: 210000 tokens > 200000 maximum", "context_too_large"),
        (400, "API key not valid. Please pass a valid API key.", "auth"),
        (200, "overloaded_error", "overloaded"),
        (200, "x", ""),
    ],
)
def test_a_status_counts_before_vague_words(status: int, words: str, expected: str) -> None:
    assert error_class(words, status) == expected


def test_a_flood_of_words_takes_no_time() -> None:
    assert error_class("model " * 1_000_000) == ""
