"""The process that a Functions host starts for Python: gRPC outside, Microsoft's runtime inside.

On Azure a proxy of Microsoft's stands here, which the package index does not have: it carries each
message of the host's to azure_functions_runtime, and its answer back. So does this one.
"""

import argparse
import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace

import azure_functions_runtime as runtime
import grpc

PROTO = "functions_rpc.proto"

HANDLERS = {
    "worker_init_request": "worker_init_response",
    "function_environment_reload_request": "function_environment_reload_response",
    "functions_metadata_request": "function_metadata_response",
    "function_load_request": "function_load_response",
    "invocation_request": "invocation_response",
}
"""The host's requests, which are also the names of the runtime's handlers, and their answers."""


async def serve(uri: str, worker_id: str) -> None:
    messages, services = grpc.protos_and_services(PROTO)
    async with grpc.aio.insecure_channel(uri.removeprefix("http://")) as channel:
        stream = services.FunctionRpcStub(channel).EventStream()
        hello = messages.StartStream(worker_id=worker_id)
        await stream.write(messages.StreamingMessage(start_stream=hello))
        tasks = set()
        async for request in stream:
            task = asyncio.create_task(answer(stream, messages, request))
            tasks.add(task)
            task.add_done_callback(tasks.discard)


async def answer(stream, messages, request) -> None:
    name = request.WhichOneof("content")
    if name == "worker_init_request":
        sys.path.insert(0, request.worker_init_request.function_app_directory)
    properties = {"protos": messages, "host": "127.0.0.1"}
    response = await getattr(runtime, name)(SimpleNamespace(request=request, properties=properties))
    content = {HANDLERS[name]: response}
    await stream.write(messages.StreamingMessage(request_id=request.request_id, **content))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--functions-uri", required=True)
    parser.add_argument("--functions-worker-id", required=True)
    options = parser.parse_args()
    sys.path.append(str(Path(__file__).parent))  # where PROTO is looked for
    runtime.start_threadpool_executor()
    asyncio.run(serve(options.functions_uri, options.functions_worker_id))


if __name__ == "__main__":
    main()
