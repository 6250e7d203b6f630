# Goal: layercheck, headercheck and barriercheck find what they are for, and the tree passes them.
#
# Method: small trees in a temporary directory, each with one fault that must be reported at its
# line, beside a sound one that must pass; then this tree itself.
use Artery::Test;
use File::Path qw(make_path);
use File::Basename qw(dirname);
use Test::More;

my $tools = test_root() . '/t/tools';
my $base  = tempdir_short();
my $trees = 0;

# tree(path => text, ...): a new source tree, its path
sub tree
{
	my (%file) = @_;
	my $root = "$base/" . ++$trees;
	for my $path (keys %file)
	{
		make_path(dirname("$root/$path"));
		write_file("$root/$path", $file{$path});
	}
	make_path("$root/src");
	return $root;
}

my $ladder = <<'END';
# comment
layer net
layer access/art access/wal
layer storage/file
layer utils
tools src/bin uses utils
header <liburing.h> <sys/socket.h> only net
call fsync only storage/file
END

sub layer_fault
{
	my ($name, $pattern, %file) = @_;
	command_exits([ "$tools/layercheck", '--root', tree('doc/layers' => $ladder, %file) ], defined $pattern ? 1 : 0,
		defined $pattern ? $pattern : qr/go down/, $name);
	return;
}

layer_fault('downward includes', undef,
	'src/backend/net/a.c'           => "#include \"net/a.h\"\n#include \"access/art/a.h\"\n#include <liburing.h>\n",
	'src/include/net/a.h'           => "#include \"utils/u.h\"\n",
	'src/backend/storage/file/f.c'  => "int f(void) { return fsync(3); }\n",
	'src/backend/utils/u.c'         => "/* #include \"net/a.h\" fsync(3) */\n// fsync(4)\nint my_fsync(int x);\nchar *s = \"fsync(3)\";\n",
	'src/bin/tool/main.c'           => "#include \"utils/u.h\"\n");
layer_fault('upward include in a source file', qr{src/backend/utils/u\.c:2: utils includes "net/a\.h", but net is above it},
	'src/backend/utils/u.c' => "\n#include \"net/a.h\"\n");
layer_fault('upward include in a header', qr{src/include/storage/file/f\.h:1: storage/file includes "access/art/a\.h"},
	'src/include/storage/file/f.h' => "#include \"access/art/a.h\"\n");
layer_fault('include of a room beside', qr{access/wal is beside it},
	'src/backend/access/art/a.c' => "#include \"access/wal/w.h\"\n");
layer_fault('private header of another room', qr{"access/art/a_internal\.h" is for access/art alone},
	'src/backend/net/a.c' => "#include \"access/art/a_internal.h\"\n");
layer_fault('system header of another room', qr{src/backend/utils/u\.c:1: <liburing\.h> belongs to net},
	'src/backend/utils/u.c' => "#include <liburing.h>\n");
layer_fault('call that belongs to another room', qr{src/backend/net/a\.c:3: fsync\(\) belongs to storage/file},
	'src/backend/net/a.c' => "/* two\nlines */\nint f(void) { return fsync (3); }\n");
layer_fault('tool that includes a room', qr{src/bin/tool/main\.c:1: tools may not include "net/a\.h"},
	'src/bin/tool/main.c' => "#include \"net/a.h\"\n");
layer_fault('file of no room', qr{src/backend/new/n\.c: belongs to no room},
	'src/backend/new/n.c' => "\n");
layer_fault('exception that is needed', undef,
	'doc/layers'            => $ladder . "exception src/backend/utils/u.c : net/a.h : because\n",
	'src/backend/utils/u.c' => "#include \"net/a.h\"\n");
layer_fault('exception that is not needed', qr{exception for src/backend/utils/u\.c : net/a\.h is not needed},
	'doc/layers'            => $ladder . "exception src/backend/utils/u.c : net/a.h : because\n",
	'src/backend/utils/u.c' => "\n");
{
	my ($code, $out, $err) = run_command(
		[ "$tools/layercheck", '--root', tree('doc/layers' => $ladder . "exception src/backend/utils/u.c : net/a.h\n") ]);
	isnt($code, 0, 'exception without a reason: refused');
	like($err, qr/line 9: not understood/, 'exception without a reason: says where');
}

sub header_fault
{
	my ($name, $pattern, $text) = @_;
	command_exits([ "$tools/headercheck", '--root', tree('src/include/net/a.h' => $text) ], defined $pattern ? 1 : 0,
		defined $pattern ? $pattern : qr/each compiles alone/, $name);
	return;
}

header_fault('header that stands alone', undef, "#ifndef A_H\n#define A_H\n#include <stddef.h>\nextern size_t a(void);\ntypedef struct A { int x; } A;\n#endif\n");
header_fault('header that needs another', qr{src/include/net/a\.h does not compile alone}, "extern size_t a(void);\n");
header_fault('header without a guard', qr{src/include/net/a\.h does not compile alone}, "typedef struct A { int x; } A;\n");
header_fault('list', undef, "/*\n * a.h -- a list (X-macro, no include\n * guard)\n */\nENTRY(x)\n");

sub barrier_fault
{
	my ($name, $pattern, $text) = @_;
	command_exits([ "$tools/barriercheck", '--root', tree('src/backend/net/a.c' => $text) ], defined $pattern ? 1 : 0,
		defined $pattern ? $pattern : qr/with its reason and its other side/, $name);
	return;
}

my $pair = <<'END';
void put(void)
{
	atomic_store_explicit(&x, 1, memory_order_release);	/* release [x-ready]: after y */
}

int get(void)
{
	/* acquire [x-ready] */
	return atomic_load_explicit(&x,
		memory_order_acquire);
}
END
barrier_fault('pair',          undef, $pair);
barrier_fault('releases only', qr{a\.c:3: \[x-ready\] has no acquiring side}, $pair =~ s{/\* acquire.*\*/}{/* acquire: because */}r);
barrier_fault('acquires only', qr{a\.c:8: \[x-ready\] has no releasing side}, $pair =~ s{/\* release.*\*/}{/* release: because */}r);
barrier_fault('two names',     qr{\[x-ready\] has no acquiring side.*\[x-redy\] has no releasing side}s, $pair =~ s/acquire \[x-ready\]/acquire [x-redy]/r);
barrier_fault('seq_cst twice', undef, "/* seq_cst [both] */\n\n/* seq_cst [both] */\n");
barrier_fault('seq_cst once',  qr{a\.c:1: \[both\] stands alone}, "/* seq_cst [both] */\n");
barrier_fault('seq_cst as the other side', undef, "/* seq_cst [both] */\n\n/* acquire [both] */\n");
barrier_fault('acq_rel alone', undef, "/* acq_rel [self] */\n");
barrier_fault('tag in a string is none', undef, "char *s = \"release [x]\";\n");
barrier_fault('order without a word', qr{a\.c:3: no comment says why release}, $pair =~ s{\t/\* release.*\*/}{}r);
barrier_fault('order with a comment about something else', qr{a\.c:3: no comment says why release}, $pair =~ s{/\* release.*\*/}{/* sets x */}r);
barrier_fault('order on a later line of the statement', qr{a\.c:9: no comment says why acquire}, $pair =~ s{/\* acquire.*\*/}{}r);
barrier_fault('comment in another paragraph', qr{a\.c:10: no comment says why acquire}, $pair =~ s{(/\* acquire.*\*/)}{$1\n}r);
barrier_fault('comment in front of the function', undef, "/* f -- release: because */\nvoid\nf(void)\n{\n\tint y;\n\n\tatomic_store_explicit(&x, 1, memory_order_release);\n}\n");
barrier_fault('relaxed', undef, "void f(void)\n{\n\tatomic_store_explicit(&x, 1, memory_order_relaxed);\n}\n");
barrier_fault('implicit order', qr{a\.c:3: atomic_fetch_add\(\) without an explicit order}, "int f(void)\n{\n\treturn atomic_fetch_add(&x, 1);\n}\n");
barrier_fault('consume', qr{a\.c:1: memory_order_consume}, "int f(void) { return atomic_load_explicit(&x, memory_order_consume); }\n");

command_ok([ "$tools/$_" ], "$_: this tree") for qw(layercheck headercheck barriercheck);

done_testing;
