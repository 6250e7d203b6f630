"""python_redis.py SOCKET -- the python3-redis row of the client matrix; README.md says what is printed."""
import sys
import redis


def check(good, what, detail=""):
    print("ok %s" % what if good else "not ok %s: %r" % (what, detail), flush=True)
    if not good:
        sys.exit(1)


def same(got, want, what):
    check(got == want, what, got if not isinstance(got, bytes) else got[:100])


client = redis.Redis(unix_socket_path=sys.argv[1], client_name="matrix_python")
check(client.ping(), "ping")
same(client.client_getname(), "matrix_python", "the name given on connect")
check(client.set("python:a", "one"), "set")
same(client.get("python:a"), b"one", "get")
same(client.get("python:none"), None, "get of nothing")
every_byte = bytes(range(256))
client.set(every_byte, every_byte)
same(client.get(every_byte), every_byte, "all bytes")
large = bytes(i * 31 % 251 for i in range(1000000))
client.set("python:large", large)
same(client.get("python:large"), large, "1 MB")
same(client.delete("python:large", every_byte), 2, "delete")
same(client.set("python:a", "x", nx=True), None, "set nx refused")
check(client.mset({"python:m1": 1, "python:m2": 2}), "mset")
same(client.mget("python:m1", "python:none", "python:m2"), [b"1", None, b"2"], "mget")
pipeline = client.pipeline(transaction=False)
for number in range(1000):
    pipeline.set("python:p:%d" % number, number).get("python:p:%d" % number)
same(pipeline.execute(), [reply for number in range(1000) for reply in (True, b"%d" % number)], "a pipeline")
same(len(set(client.scan_iter(match="python:p:*", count=100))), 1000, "scan_iter")
try:
    client.incr("python:a")
    check(False, "incr of text fails")
except redis.ResponseError as error:
    same(str(error), "value is not an integer or out of range", "incr of text fails")
check(client.ping(), "... and the connection goes on")
info = client.info()
check(info["loading"] == 0 and info["db0"]["keys"] > 1000, "info", info.get("db0"))
check(isinstance(client.config_get("maxclients"), dict), "config_get")
check(any(entry["name"] == "matrix_python" for entry in client.client_list()), "client_list")
commands = client.command()
check(client.command_count() == len(commands) > 30 and "get" in commands, "command", len(commands))
second = redis.Redis(unix_socket_path=sys.argv[1], db=2)
same(second.get("python:a"), None, "another database")
second.set("python:a", "in 2")
same((client.get("python:a"), second.dbsize()), (b"one", 1), "... is another one")
second.flushdb()
print("restart", flush=True)
sys.stdin.readline()
same(client.get("python:a"), b"one", "get after the restart")
check(client.set("python:a", "two"), "set after the restart")
print("end", flush=True)
