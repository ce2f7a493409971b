"""As much of a Functions host as it takes to start a worker and have it run functions."""

import queue
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import grpc
from programs import Program, running

WORKER = Path(__file__).with_name("functions_worker.py")

PATIENCE = 60
"""Seconds to wait for a worker's word."""

messages, services = grpc.protos_and_services("functions_rpc.proto")


class Host(services.FunctionRpcServicer):
    """Talks with one worker; every question has its answer before the next is asked."""

    def __init__(self) -> None:
        self.program: Program
        self._questions: queue.Queue = queue.Queue()
        self._answers: queue.Queue = queue.Queue()
        self._functions: dict[str, str] = {}

    def EventStream(self, incoming, _context):  # noqa: N802 - the protocol's name
        threading.Thread(target=self._listen, args=[incoming], daemon=True).start()
        yield from iter(self._questions.get, None)

    def _listen(self, incoming) -> None:
        try:
            for message in incoming:
                if message.WhichOneof("content") != "rpc_log":
                    self._answers.put(message)
        except grpc.RpcError:
            pass  # the worker has ended

    def ask(self, **content):
        """Put a question and return the answer, which says that it went well."""
        self._questions.put(messages.StreamingMessage(request_id=str(uuid4()), **content))
        message = self._answers.get(timeout=PATIENCE)
        answer = getattr(message, message.WhichOneof("content"))
        said = answer.result.exception
        assert answer.result.status == 1, f"{said.message}\n{said.stack_trace}"
        return answer

    def greet(self) -> None:
        assert self._answers.get(timeout=PATIENCE).HasField("start_stream")

    def initialize(self, folder: Path) -> None:
        """Start the worker with an app, or as a placeholder with a folder that has none."""
        self.ask(worker_init_request=messages.WorkerInitRequest(function_app_directory=str(folder)))

    def specialize(self, folder: Path, environ: Mapping[str, str]) -> None:
        """Make a placeholder the worker of an app: only now is it told the app's environment."""
        self.ask(
            function_environment_reload_request=messages.FunctionEnvironmentReloadRequest(
                environment_variables=environ, function_app_directory=str(folder)
            )
        )

    def load(self, folder: Path) -> set[str]:
        """Have the worker load the app's functions; return their names."""
        request = messages.FunctionsMetadataRequest(function_app_directory=str(folder))
        for each in self.ask(functions_metadata_request=request).function_metadata_results:
            load = messages.FunctionLoadRequest(function_id=each.function_id, metadata=each)
            self.ask(function_load_request=load)
            self._functions[each.name] = each.function_id
        return set(self._functions)

    def http(self, function: str, method: str = "GET") -> str:
        """Call an HTTP function; return its answer's body, which must come with status 200."""
        http = messages.RpcHttp(method=method, url=f"http://localhost/api/{function}")
        answer = self._call(function, "req", messages.TypedData(http=http)).return_value.http
        assert answer.status_code == "200"
        return answer.body.bytes.decode() or answer.body.string

    def timer(self, function: str) -> None:
        schedule = messages.TypedData(json='{"IsPastDue": false, "Schedule": {}}')
        self._call(function, "timer", schedule)

    def _call(self, function: str, parameter: str, value):
        return self.ask(
            invocation_request=messages.InvocationRequest(
                invocation_id=str(uuid4()),
                function_id=self._functions[function],
                input_data=[messages.ParameterBinding(name=parameter, data=value)],
            )
        )

    def hang_up(self) -> None:
        self._questions.put(None)


@contextmanager
def worker(folder: Path, environ: Mapping[str, str]) -> Iterator[Host]:
    """Start a host and its worker, which has been greeted and no more."""
    host = Host()
    with ThreadPoolExecutor(max_workers=1) as threads:
        server = grpc.server(threads)
        services.add_FunctionRpcServicer_to_server(host, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        uri = f"http://127.0.0.1:{port}"
        command = [sys.executable, str(WORKER), "--functions-uri", uri]
        try:
            with running([*command, "--functions-worker-id", "w"], folder, environ) as program:
                host.program = program
                host.greet()
                yield host
        finally:
            host.hang_up()
            server.stop(None).wait()
