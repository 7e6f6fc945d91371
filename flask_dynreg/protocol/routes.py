"""Routes that see every method, so that each answer, 405 included, is ours: OAuth JSON, with CORS."""

import re
from collections.abc import Callable
from urllib.parse import unquote

from flask import Blueprint, Flask, Response, request
from flask.blueprints import BlueprintSetupState
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter

from flask_dynreg.errors import ConfigurationError
from flask_dynreg.protocol import responses

View = Callable[..., Response]

_VARIABLE = re.compile(r"<[^>]*>")


class AnyTextConverter(BaseConverter):
    """The rest of the path, whatever it is: werkzeug's own converters leave some of it to an HTML page."""

    regex = r"[\s\S]+"
    part_isolating = False


def add_route(blueprint: Blueprint, path: str, name: str, view: View, setting: str) -> None:
    """Adds a route for every method below the prefix at which an app registers the blueprint.

    When that happens, raises ConfigurationError if the app has a rule for the path; `setting` is the key to name.
    """

    def add(state: BlueprintSetupState) -> None:
        rule = (state.url_prefix or "") + unquote(path)  # as the path of a request is when it is routed
        assert isinstance(state.app, Flask)
        refuse_taken(state.app, rule, setting)
        endpoint = f"{blueprint.name}.{name}"
        state.app.url_map.converters["dynreg_any"] = AnyTextConverter
        state.app.view_functions[endpoint] = view
        state.app.url_map.add(state.app.url_rule_class(rule, endpoint=endpoint, merge_slashes=False))

    blueprint.record(add)


def refuse_taken(app: Flask, path: str, setting: str) -> None:
    for rule in app.url_map.iter_rules():
        if _VARIABLE.sub("<>", rule.rule) == _VARIABLE.sub("<>", path):
            raise ConfigurationError(
                f"{setting}: the app has a rule for {rule.rule} already (endpoint {rule.endpoint})."
            )


def answer(methods: list[str], view: Callable[[], Response]) -> Response:
    """The view's answer to one of these methods; 204 to a preflight or any other OPTIONS; 405 to the rest."""
    if request.method in methods:
        return view()
    methods = [*methods, "OPTIONS"]
    if request.method == "OPTIONS":
        return responses.no_content([("Allow", ", ".join(methods))])
    return responses.method_not_allowed(methods)


def answer_errors(blueprint: Blueprint) -> None:
    """What goes wrong outside of a view, in a host's `before_request` say, is OAuth JSON as well."""
    blueprint.register_error_handler(HTTPException, responses.http_error)


def exempt_from_csrf(app: Flask, blueprint: Blueprint) -> None:
    """No client could send Flask-WTF's token. Where a session lets in, the view asks itself where the script is from."""
    exempted = False

    def exempt() -> None:
        nonlocal exempted
        if not exempted and (csrf := app.extensions.get("csrf")):
            csrf.exempt(blueprint)
            exempted = True

    exempt()
    app.before_request(exempt)  # it may be set up after us; its check runs after this one then
