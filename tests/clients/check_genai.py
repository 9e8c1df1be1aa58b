"""The `google-genai` package for Python against Chorus."""

from google import genai
from google.genai import errors, types

from checks import *

GENERATE, STREAM = ":generateContent", ":streamGenerateContent"


def client_of(version):
    options = types.HttpOptions(base_url=CHORUS, api_version=version, timeout=30_000)
    return genai.Client(api_key="any", http_options=options)


clients = [client_of("v1beta"), client_of("v1")]
client = clients[0]
THINKING = types.ThinkingConfig(include_thoughts=True)
DECLARED = {"name": "weather", "description": "Tells the weather", "parameters": PARAMETERS}
TOOLS = [types.Tool(function_declarations=[DECLARED])]


def config(**more):
    return types.GenerateContentConfig(thinking_config=THINKING, **more)


def generate(model, contents, client=client, **more):
    return client.models.generate_content(model=model, contents=contents, config=config(**more))


def stream(model, contents, client=client, **more):
    return client.models.generate_content_stream(model=model, contents=contents, config=config(**more))


def parts(answers):
    return [part for one in answers for found in one.candidates or [] for part in found.content.parts]


def texts(answers, thought=False):
    return "".join(part.text or "" for part in parts(answers) if bool(part.thought) == thought)


def same_usage(answer):
    usage = answer.usage_metadata
    same((usage.prompt_token_count, usage.candidates_token_count), TOKENS)


@check(GENERATE, "plain")
def plain(prompt):
    for one in clients:
        for model in BOTH:
            answer = generate(model, prompt, one)
            same((answer.text, texts([answer], True)), (ANSWER, THOUGHT))
            same((answer.model_version, answer.candidates[0].finish_reason.name), (model, "STOP"))
            same_usage(answer)


@check(STREAM, "streamed")
def streamed(prompt):
    for one in clients:
        for model in BOTH:
            answers = list(stream(model, prompt, one))
            same(texts(answers), ANSWER)
            has(texts(answers, True), THOUGHT)
            same("worker talks: ok" in texts(answers, True), model == "chorus")
            same_usage(answers[-1])


@check(GENERATE, "tools, there and back")
def tools(prompt):
    off = types.AutomaticFunctionCallingConfig(disable=True)
    for model in BOTH:
        for ask in (lambda *a, **m: [generate(*a, **m)], lambda *a, **m: list(stream(*a, **m))):
            contents = [types.Content(role="user", parts=[types.Part(text=prompt)])]
            answers = ask(model, contents, tools=TOOLS, automatic_function_calling=off)
            calls = [part.function_call for part in parts(answers) if part.function_call]
            same([(call.name, call.args) for call in calls], [("weather", {"city": "Rome"})])
            result = types.FunctionResponse(
                id=calls[0].id, name="weather", response={"output": TOOL_RESULT}
            )
            contents += [
                types.Content(role="model", parts=[types.Part(function_call=calls[0])]),
                types.Content(role="user", parts=[types.Part(function_response=result)]),
            ]
            answers = ask(model, contents, tools=TOOLS, automatic_function_calling=off)
            same(texts(answers), TOOL_ANSWER)


@check(GENERATE, "structured output")
def structured(prompt):
    for model in BOTH:
        schema = {"response_mime_type": "application/json", "response_schema": PARAMETERS}
        answer = generate(model, prompt, **schema)
        same(json.loads(answer.text), {"city": "Rome", "degrees": 21})


@check(GENERATE, "a request that is wrong")
def bad_request(prompt):
    error = raised(errors.ClientError, lambda: generate("talks", prompt, temperature=3))
    same((error.code, error.status), (400, "INVALID_ARGUMENT"))
    has(error.message, "temperature")
    same(seen(prompt), [])


def refused(prompt, action):
    """A failure before the answer, with its reason."""
    error = raised(errors.ServerError, action)
    same((error.code, error.status), (502, "INTERNAL"))
    has(error.message, "on strike")
    same(endings(prompt), ["refused"])


@check(GENERATE, "a failure before the answer")
def refused_plain(prompt):
    refused(prompt, lambda: generate("refuses", prompt))


@check(STREAM, "a failure before the stream")
def refused_stream(prompt):
    refused(prompt, lambda: list(stream("refuses", prompt)))


@check(STREAM, "a failure during the stream")
def broke_off(prompt):
    answers = []
    error = raised(errors.ServerError, lambda: answers.extend(stream("cuts", prompt)))
    has(str(error), "cut off")


@check(STREAM, "a caller who leaves the stream")
def leaves(prompt):
    answers = stream("hangs", prompt)
    next(one for one in answers if texts([one]))
    answers.close()
    hung_up_on(prompt)


@check(":countTokens", "a count without a model")
def count(prompt):
    counted = client.models.count_tokens(model="chorus", contents=prompt)
    assert 5 < counted.total_tokens < 60, counted
    same(seen(prompt), [])


@check("/v1beta/models", "Google's form of the list")
def models(_prompt):
    same([model.name for model in client.models.list()][:2], ["models/chorus", "models/talks"])
    same(client.models.get(model="lab/talks:8b").display_name, "lab/talks:8b")


if __name__ == "__main__":
    run("google-genai")
