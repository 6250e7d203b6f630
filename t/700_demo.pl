# Goal: `make demo` tells the truth.  It runs on any package lists, checks what it
# claims, notices a lost write, and leaves nothing behind however it ends.
#
# Method: run contrib/demo/demo.pl on a few made-up package lists whose answers are
# known; once with an acknowledgement that never was (--false-ack), which must turn
# the run into a failure; and interrupt it in two places.  TMPDIR is a directory of
# this test, so what is left behind can be seen.
use lib 't/lib';
use Artery::Test;
use File::Path qw(make_path);
use IPC::Run ();
use Test::More;

my $tmp   = tempdir_short();
my $lists = "$tmp/lists";
my @demo  = ($^X, test_root() . '/contrib/demo/demo.pl', '--bindir', bin_dir());
make_path("$tmp/scratch");
$ENV{TMPDIR} = "$tmp/scratch";

# Three packages that share directories, one of them for two architectures, and one
# without files: 5 + 46 + 2 + 3 paths.
sub write_lists
{
	make_path($lists);
	my @common = ('/.', '/usr', '/usr/bin', '/usr/share', '/usr/share/doc');
	write_file("$lists/alpha.list", join "\n", @common, (map { sprintf '/usr/bin/tool-%02d', $_ } 1 .. 46), '');
	write_file("$lists/beta:amd64.list", join "\n", @common, '/usr/share/doc/beta', '/usr/share/doc/beta/copyright', '');
	write_file("$lists/beta:i386.list", join "\n", @common, '/usr/share/doc/beta', '');
	write_file("$lists/empty.list", '');
	# A path may hold any byte, and one path may begin with another.
	write_file("$lists/gamma.list", join "\n", '/usr/bin', "/usr/bin-\xc3\xa9 x", '/usr/bin/', "/usr/lib\x01", '');
	return 5 + 46 + 2 + 3;
}

sub left_behind
{
	my @left = glob "$tmp/scratch/*";
	return "@left";
}

sub failed_claims
{
	my ($out) = @_;
	return scalar(() = $out =~ /^  FAILED/mg);
}

my $paths = write_lists();

# The whole story.
{
	my ($code, $out, $err) = run_command([ @demo, '--dpkg', $lists, '--seconds', 0.3, '--writers', 2, '--large', 40 ]);
	is($code, 0, 'the demo succeeds') or diag($out, $err);
	is($err, '', 'no words on stderr');
	is(failed_claims($out), 0, 'no claim failed');
	cmp_ok(scalar(() = $out =~ /^  ok /mg), '>=', 20, 'it claims a good deal');
	like($out, qr/5 package lists, $paths paths \(5 of them in several packages\)/, 'lists are read, shared paths counted');
	like($out, qr/DBSIZE says that all are there: $paths\n/, 'all paths are loaded');
	like($out, qr{^  /usr/bin +alpha, beta, gamma$}m, 'a directory lists its packages, each once');
	like($out, qr{^  /no/such/file +\(nobody\)$}m, 'a path of no package');
	like($out, qr{2 directories rolled up and 4 plain keys}, '/usr/ by directory');
	like($out, qr{^  /usr/bin/$}m, 'a directory that is shown');
	my ($acked) = $out =~ /^  ([\d,]+) writes acknowledged/m;
	$acked =~ tr/,//d;
	cmp_ok($acked, '>', 0, 'writes were acknowledged before the kill');
	my ($killed) = $out =~ /killed: (\d+) processes, none is left/;
	cmp_ok($killed, '>=', 4, 'postmaster, worker, walwriter and checkpointer were killed');
	my ($records) = $out =~ /the log was redone: ([\d,]+) records/;
	$records =~ tr/,//d;
	cmp_ok($records, '>=', $acked, 'the redo has at least a record for each acknowledged write');
	like($out, qr/^  ok      the log was redone from the checkpoint on/m, 'and begins at the checkpoint');
	like($out, qr/ in [\d.]+ s: [\d,]+ records\/s, one process/, 'the rate of the redo');
	like($out, qr/lost: 0\n/, 'nothing is lost');
	like($out, qr/all $paths paths with their packages: missing 0, different 0/, 'all paths are there');
	my ($large) = $out =~ /^  ([\d,]+) keys, 4\d\.\d MB into a memory of 16\.8 MB/m;
	like($out, qr/a walk over all of it, in order, each value compared/, 'the walk over more data than memory') if ok($large, 'more data than memory');
	like($out, qr/2,400 keys at random, all right/, 'and reads at random');
	like($out, qr/every claim holds/, 'the last word');
	is(left_behind(), '', 'nothing is left behind');
}

# The twin: the check must be able to fail.
{
	my ($code, $out) = run_command([ @demo, '--dpkg', $lists, '--seconds', 0.1, '--writers', 2, '--large', 1, '--false-ack' ]);
	is($code, 1, 'with a false acknowledgement the demo fails');
	like($out, qr/FAILED .* lost: 2\n/, 'and says what is lost');
	is(failed_claims($out), 1, 'nothing else fails');
	is(left_behind(), '', 'nothing is left behind');
}

# Interrupted: while the server serves, and between kill and restart or shortly after.
for my $place ([ qr/^4\. /m, 'while it serves' ], [ qr/^  ok +killed/m, 'after the kill' ])
{
	my ($pattern, $name) = @$place;
	my ($out, $err) = ('', '');
	my $run = IPC::Run::start([ @demo, '--dpkg', $lists, '--seconds', 5 ], \undef, \$out, \$err,
		IPC::Run::timeout(2 * $timeout_default));
	my $pid;
	until ($out =~ $pattern)
	{
		last unless $run->pump;
		my ($file) = glob "$tmp/scratch/artery-demo-*/data/artery.pid";
		($pid) = slurp_file($file) =~ /\A(\d+)/ if defined $file && -s $file;
	}
	$run->signal('INT');
	$run->finish;
	is($run->full_result >> 8, 130, "interrupted $name: exit code 130") or diag($out, $err);
	is(left_behind(), '', "interrupted $name: nothing is left behind");
	ok($pid && poll_until(sub { !kill 0, $pid }), "interrupted $name: the server is gone");
}

# What it needs and does not find.
make_path("$tmp/no-lists");
command_exits([ @demo, '--dpkg', "$tmp/no-lists" ], 1, qr/there are no package lists/, 'no package lists');
command_exits([ $^X, $demo[1], '--bindir', "$tmp/no-lists" ], 2, qr/there is no ".*artery": build it/, 'no programs');
command_exits([ @demo, '--nonsense' ], 2, qr/usage:/, 'an unknown option');
is(left_behind(), '', 'nothing is left behind');

done_testing;
