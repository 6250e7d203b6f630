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

# transactions
with client.pipeline() as pipeline:
    pipeline.set("python:t", 1).incr("python:t").get("python:t")
    same(pipeline.execute(), [True, 2, b"2"], "a transaction")
    pipeline.set("python:t", "x").incr("python:t").get("python:t")
    same([str(reply) for reply in pipeline.execute(raise_on_error=False)][::2], ["True", "b'x'"], "one with a command that fails")
    pipeline.watch("python:t")
    second.select(0)
    second.set("python:t", "yours")
    pipeline.multi()
    pipeline.set("python:t", "mine")
    try:
        pipeline.execute()
        check(False, "watch")
    except redis.WatchError:
        same(client.get("python:t"), b"yours", "watch, and another one changes it")
same(client.transaction(lambda pipe: (pipe.get("python:t"), pipe.multi(), pipe.set("python:t", 5), pipe.incrby("python:t", 2)), "python:t"), [True, 7], "transaction()")

# pub/sub, keyspace events
client.config_set("notify-keyspace-events", "K$gx")
messages = client.pubsub()
messages.subscribe("python:c1", **{"python:c2": None})
messages.psubscribe("python:c*", "__keyspace@0__:python:k")
got = []


def listen(count):
    while len(got) < count:
        message = messages.get_message(timeout=30)
        check(message is not None, "a message")
        got.append((message["type"], message["channel"], message["data"]))
    return got


listen(4)
same(client.publish("python:c1", b"\0\xff\r\n"), 2, "publish")
client.set("python:k", 1)
client.delete("python:k")
same(listen(8)[4:], [("message", b"python:c1", b"\0\xff\r\n"), ("pmessage", b"python:c1", b"\0\xff\r\n"), ("pmessage", b"__keyspace@0__:python:k", b"set"),
                     ("pmessage", b"__keyspace@0__:python:k", b"del")], "messages and events")
same((sorted(client.pubsub_channels("python:*")), client.pubsub_numsub("python:c1", "none"), client.pubsub_numpat()), ([b"python:c1", b"python:c2"], [(b"python:c1", 1), (b"none", 0)], 2), "pubsub_...")
messages.close()
client.config_set("notify-keyspace-events", "")

# options, deadlines, bits, dumps
same((client.set("python:o", "v", ex=100, get=True), client.set("python:o", "w", keepttl=True, get=True), client.ttl("python:o") > 90), (None, b"v", True), "set with options")
same((client.expire("python:o", 1000, gt=True), client.pexpireat("python:o", 4102444800123), client.execute_command("PEXPIRETIME", "python:o"), client.persist("python:o"), client.getex("python:o", px=100000),
      client.getdel("python:o")), (True, True, 4102444800123, True, b"w", b"w"), "deadlines")
same((client.bitfield("python:b").set("u8", 8, 255).overflow("FAIL").incrby("u8", 8, 1).get("u4", "#2").execute(), client.bitcount("python:b", 0, -1), client.bitop("XOR", "python:b2", "python:b", "python:b"),
      client.bitpos("python:b", 1)), ([0, None, 15], 8, 2, 8), "bits")
client.set("python:d", every_byte, ex=100)
same((client.restore("python:d2", 0, client.dump("python:d"), replace=True), client.get("python:d2"), client.copy("python:d", "python:d3", replace=True), client.rename("python:d3", "python:d4"), client.move("python:d4", 3),
      client.exists("python:d", "python:d", "python:d4"), client.object("encoding", "python:d2")), (b"OK", every_byte, True, True, True, 2, b"raw"), "dump, restore, copy, rename, move")
same((client.lcs("python:a", "python:a", len=True) if hasattr(client, "lcs") else 3, client.incrbyfloat("python:f", 0.1), client.setrange("python:f", 0, "1.5"), client.append("python:f", "x"), client.getrange("python:f", 1, -1)),
     (3, 0.1, 3, 4, b".5x"), "parts of values")

# the server
same((client.acl_whoami(), client.acl_users(), client.acl_getuser("default")["flags"]), ("default", ["default"], ["on", "nopass"]), "acl_...")
check(client.memory_stats()["keys.count"] > 1000 and client.memory_usage("python:a") > 0, "memory_...")
same((client.slowlog_reset(), client.slowlog_len(), client.slowlog_get()), (True, 0, []), "slowlog_...")
same((client.wait(0, 10), client.role()[0], len(client.time()), client.bgsave(), client.script_exists("a" * 40), client.script_flush()), (0, b"master", 2, True, [False], True), "wait, role, time, bgsave, script_...")
same(client.command_getkeys("MSET", "a", 1, "b", 2), ["a", "b"], "command_getkeys")
try:
    client.lpush("python:list", "x")
    check(False, "a list")
except redis.ResponseError as error:
    check(str(error).startswith("unknown command 'LPUSH', with args beginning with: 'python:list' 'x'"), "a list", str(error))
with client.monitor() as monitor:
    second.set("python:m", 'a "b"')
    same(monitor.next_command()["command"], 'SET python:m a "b"', "monitor")
print("restart", flush=True)
sys.stdin.readline()
same(client.get("python:a"), b"one", "get after the restart")
check(client.set("python:a", "two"), "set after the restart")
print("end", flush=True)
