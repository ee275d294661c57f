"""A gRPC server and client without generated code: messages are bytes.

echo.py serve ADDRESS          serves until killed
echo.py call ADDRESS AUTHORITY makes one call of each kind and prints what came back
"""
import sys
import threading
from concurrent import futures

import grpc

LARGE = [("grpc.max_receive_message_length", 8 << 20)]


def trailer(call):
    found = [value for key, value in call.trailing_metadata() or () if key == "x-trailer"]
    return found[0] if found else None


class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        handlers = {
            "/mesh.Echo/Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "/mesh.Echo/Server": grpc.unary_stream_rpc_method_handler(self.server),
            "/mesh.Echo/Client": grpc.stream_unary_rpc_method_handler(self.client),
            "/mesh.Echo/Both": grpc.stream_stream_rpc_method_handler(self.both),
            "/mesh.Echo/Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "/mesh.Echo/Never": grpc.unary_unary_rpc_method_handler(self.never),
        }
        return handlers.get(details.method)

    def unary(self, request, context):
        context.set_trailing_metadata((("x-trailer", "one-message"),))
        return request

    def server(self, request, context):
        context.set_trailing_metadata((("x-trailer", "five-messages"),))
        for number in range(int(request)):
            yield b"%d" % number

    def client(self, requests, context):
        return b"%d" % sum(1 for _ in requests)

    def both(self, requests, context):
        for request in requests:
            yield request.upper()

    def fail(self, request, context):
        context.set_trailing_metadata((("x-trailer", "why"),))
        context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")

    def never(self, request, context):
        gone = threading.Event()
        context.add_callback(gone.set)
        gone.wait(30)
        return b""


def serve(address):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8), options=LARGE)
    server.add_generic_rpc_handlers((Echo(),))
    server.add_insecure_port(address)
    server.start()
    server.wait_for_termination()


def call(address, authority):
    options = LARGE + [("grpc.default_authority", authority)]
    with grpc.insecure_channel(address, options=options) as channel:
        reply, done = channel.unary_unary("/mesh.Echo/Unary").with_call(b"hello", timeout=20)
        print(f"unary: echo={reply.decode()} trailer={trailer(done)}")
        reply = channel.unary_unary("/mesh.Echo/Unary")(b"x" * 2_000_000, timeout=20)
        print(f"unary large: {len(reply)} bytes")
        stream = channel.unary_stream("/mesh.Echo/Server")(b"5", timeout=20)
        print("server stream:", ",".join(message.decode() for message in stream), f"trailer={trailer(stream)}")
        reply = channel.stream_unary("/mesh.Echo/Client")(iter([b"a", b"b", b"c"]), timeout=20)
        print(f"client stream: {reply.decode()} messages")
        stream = channel.stream_stream("/mesh.Echo/Both")(iter([b"a", b"b", b"c"]), timeout=20)
        print("both:", ",".join(message.decode() for message in stream))
        try:
            channel.unary_unary("/mesh.Echo/Fail")(b"", timeout=20)
        except grpc.RpcError as error:
            print("error:", error.code().name, error.details(), f"trailer={trailer(error)}")
        try:
            channel.unary_unary("/mesh.Echo/Never")(b"", timeout=0.5)
        except grpc.RpcError as error:
            # The proxy knows the deadline too and may be first, with the code that Envoy uses.
            over = error.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)
            print("deadline:", "over" if over else error.code().name)


if __name__ == "__main__":
    {"serve": serve, "call": call}[sys.argv[1]](*sys.argv[2:])
