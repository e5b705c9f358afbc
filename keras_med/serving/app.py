"""The service as HTTP: what is asked where, what every refusal says, and the page."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files as resources
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from keras_med.data.memory import MemoryFile
from keras_med.runfolder import FORMAT
from keras_med.serving.answers import Answer, Health, Looked, Refused, none_read
from keras_med.serving.form import MOST_FILES, Refusal, sent_files
from keras_med.serving.guard import App, Guard
from keras_med.serving.memory import GivesBack, is_large
from keras_med.serving.service import Service

AT_ONCE = 16  # requests whose files are in memory; others wait before they are read
LARGE_AT_ONCE = 2  # of those, so that small files do not wait behind large ones
_PAGE = {"": "text/html", "page.js": "text/javascript", "page.css": "text/css"}
_FILES = {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1, "maxItems": MOST_FILES}
_FORM = {"type": "object", "properties": {"files": _FILES}, "required": ["files"], "additionalProperties": False}
_BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Refused, "description": "No form, or from another Host"},
    403: {"model": Refused, "description": "From another page"},
    408: {"model": Refused, "description": "The files did not arrive"},
    413: {"model": Refused, "description": "Too large"},
    415: {"model": Refused, "description": "Not multipart/form-data"},
    422: {"model": Refused, "description": "No file can be read, each for its reason; or too many"},
}


def application(service: Service) -> App:
    """Return what a server runs."""
    app = FastAPI(title="keras_med", version=str(FORMAT), docs_url=None, redoc_url=None)
    rooms = {False: asyncio.Semaphore(AT_ONCE), True: asyncio.Semaphore(LARGE_AT_ONCE)}

    @asynccontextmanager
    async def room(request: Request) -> AsyncIterator[list[MemoryFile]]:
        """Give a request's files when there is room for them."""
        async with rooms[is_large(request.headers)]:
            yield await _sent(request, service)

    @app.get("/health", response_model=Health, responses={code: _REFUSALS[code] for code in (400, 403)})
    async def health() -> Health:
        """Say what is served."""
        return service.health()

    @app.post("/predict", response_model=Answer, responses=_REFUSALS, openapi_extra=_BODY)
    async def predict(request: Request) -> Any:
        """Answer for DICOM files, images, stacks and volumes; one that cannot be read stops no other."""
        async with room(request) as files:
            answer = await service.predict(files)
        if all(one.reason for one in answer.predictions):
            return JSONResponse(none_read(answer.predictions).model_dump(), 422)
        return answer

    @app.post("/look", response_model=Looked, responses=_REFUSALS, openapi_extra=_BODY)
    async def look(request: Request, row: Annotated[int, Query(ge=0, description="of a stack")] = 0) -> Any:
        """Answer for one file or series, with its pixels and heat."""
        async with room(request) as files:
            looked = await service.look(files, row)
        if looked.prediction.reason:
            return JSONResponse(none_read([looked.prediction]).model_dump(), 422)
        return looked

    _add_page(app)
    _add_refusals(app)
    return Guard(GivesBack(app))


async def _sent(request: Request, service: Service) -> list[MemoryFile]:
    body = request.stream()
    try:
        return await sent_files(request.headers, body, service.largest)
    except ClientDisconnect:
        raise Refusal(400, "The files ended before their end.") from None
    except Refusal as refused:
        if refused.status != 408:
            await _passed_over(body, 4 * service.largest)
        raise


async def _passed_over(body: AsyncIterator[bytes], most: int) -> None:
    """Let the rest of a body go by: who is still sending would not see the refusal."""
    async for chunk in body:
        most -= len(chunk)
        if most < 0:
            return


def _add_page(app: FastAPI) -> None:
    folder = resources("keras_med.serving") / "page"

    def add(name: str, kind: str) -> None:
        content = (folder / (name or "page.html")).read_bytes()
        app.add_api_route(f"/{name}", lambda: Response(content, media_type=kind), include_in_schema=False)

    for name, kind in _PAGE.items():
        add(name, kind)


def _add_refusals(app: FastAPI) -> None:
    """Give every refusal one form."""

    def told(status: int, detail: str, headers: Any = None) -> JSONResponse:
        return JSONResponse(Refused(detail=detail).model_dump(), status, headers=headers)

    @app.exception_handler(Refusal)
    async def refused(_: Request, refusal: Refusal) -> JSONResponse:
        return told(refusal.status, refusal.what)

    @app.exception_handler(HTTPException)
    async def failed(_: Request, error: HTTPException) -> JSONResponse:
        return told(error.status_code, str(error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return told(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
