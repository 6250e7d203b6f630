# Goal: a setting means the same wherever it comes from, and a wrong one is refused with its place.
#
# Method: one server; artery.conf, -c, SIGHUP and CONFIG SET in turns; every worker is asked what
# it has in force (connections are spread over workers).
use Artery::Test;
use Artery::Cluster;
use Test::More;

my $node = Artery::Cluster->new('main');
$node->init;
my $conf = slurp_file($node->conf_file);

# ---- the sample and the page ----

like($conf, qr/^# ---- .* ----$/m, 'init writes a commented artery.conf');
like($conf, qr/^workers = 2$/m, 'init -c puts a setting into force');
like($conf, qr/^#port = 6390$/m, 'what is not set is a comment with the default');
my ($code, $doc) = run_command([ artery_bin(), '--write-settings-doc' ]);
is($code, 0, 'artery --write-settings-doc');
ok($doc eq slurp_file(test_root() . '/doc/settings.md'), 'doc/settings.md is up to date (make doc)');
command_ok([ artery_bin(), '--describe-config' ], 'artery --describe-config');

# ---- wrong ones, at start ----

# refused(text behind artery.conf, options of artery, pattern, name): artery itself, in the foreground
sub refused
{
	my ($text, $options, $pattern, $name) = @_;
	write_file($node->conf_file, $conf . $text);
	my ($exit, $out, $err) = run_command([ artery_bin(), '-D', $node->data_dir, @$options ]);
	write_file($node->conf_file, $conf);
	is($exit, 1, "$name: exit code");
	like($err, $pattern, "$name: message");
	return;
}

my $line = 1 + ($conf =~ tr/\n//);
my $file = quotemeta $node->conf_file;
refused("prot = 1\n", [], qr/FATAL:  unrecognized setting "prot" in file "$file" line $line$/m, 'unknown name');
refused("\n\nworkers = many\n", [],
	qr/FATAL:  invalid value "many" for setting "workers": it wants a number in file "$file" line @{[$line + 2]}$/m, 'bad value');
refused("workers = 65\n", [], qr/it wants 0 to 64 in file "$file" line $line/, 'out of range');
refused("workers 3\n", [], qr/syntax error.* in file "$file" line $line/, 'no equals sign');
refused("requirepass = 'x\n", [], qr/quoted value does not end on its line in file "$file" line $line/, 'open quote');
refused("io_method = aio\n", [], qr/it wants one of io_uring sync in file "$file" line $line/, 'unknown word');
refused("memory_limit = 1.5GB\n", [], qr/units B, kB, MB, GB, TB in file "$file" line $line/, 'fraction');
refused("wal_buffers = 3MB\n", [], qr/power of two \(set in file "$file" line $line\)/, 'no power of two');
refused("max_value_size = 16MB\n", [], qr/max_value_size = 16MB is more than .* \(set in file "$file" line $line\)/, 'value larger than a record');
refused("listen_addresses = '127.0.0.1'\n", [], qr/listen_addresses needs requirepass.* line $line/, 'TCP without a password');
refused('', [ '-c', 'prot=1' ], qr/unrecognized setting "prot" in option -c/, 'unknown name by -c');
refused('', [ '-c', 'port=x' ], qr/invalid value "x" for setting "port".* in option -c/, 'bad value by -c');
refused('', [ '-c', 'port' ], qr/"port" is not of the form name=value/, '-c without a value');
ok(!-e $node->data_dir . '/artery.pid', 'none of them left a pid file');

# ---- where a value comes from ----

sub config_get
{
	my ($c, $name) = @_;
	my $reply = $c->cmd('CONFIG', 'GET', $name);
	return @$reply == 2 ? $reply->[1] : "@$reply";
}

append_file($node->conf_file, "commit_siblings = 3\ncommit_siblings = 4 # the last line wins\ncommit_batch = '8kB'\n");
$node->start(args => [ '-c', 'commit_delay=7us', '-c', 'commit_batch=16kB' ]);
my @c = map { $node->connect } 1 .. 8;
is(config_get($c[0], 'commit_siblings'), '4',    'the last line of a file wins');
is(config_get($c[0], 'commit_delay'),    '7us',  '-c is above the default');
is(config_get($c[0], 'commit_batch'),    '16kB', '-c is above the file');
is(config_get($c[0], 'wal_flush_interval'), '200ms', 'a default shows its unit');

# everywhere($name, $value): do all connections, hence all workers, see it?
sub everywhere
{
	my ($name, $value, $what) = @_;
	ok(poll_until(sub { !grep { config_get($_, $name) ne $value } @c }), $what);
	return;
}

# ---- reload ----

my $offset = $node->log_offset;
my $lines  = slurp_file($node->conf_file) =~ tr/\n//;
append_file($node->conf_file,
	"commit_siblings = 9\nport = 7777\nwal_flush_interval = never\nnonsense = 1\ncommit_delay = 1s\n");
$node->reload;
everywhere('commit_siblings', '9', 'a reload reaches every worker');
$node->wait_for_log(qr/setting "port" cannot be changed without restarting the server/, $offset);
is(config_get($c[0], 'port'), '6390', 'a setting that needs a restart stays');
$node->wait_for_log(qr/invalid value "never" for setting "wal_flush_interval": .* in file "$file" line @{[$lines + 3]}/, $offset);
is(config_get($c[0], 'wal_flush_interval'), '200ms', 'a wrong value leaves the old one');
$node->wait_for_log(qr/unrecognized setting "nonsense" in file "$file" line @{[$lines + 4]}/, $offset);
is(config_get($c[0], 'commit_delay'), '7us', 'a reload does not go above -c');
my @said = $node->log_content($offset) =~ /(?:WARNING|LOG):  (?:setting "port"|invalid value "never"|unrecognized setting)/g;
is(scalar @said, 3, 'each problem is logged once, not once per process');

# ---- CONFIG SET ----

is($c[0]->cmd('CONFIG', 'SET', 'commit_siblings', '11'), 'OK', 'CONFIG SET');
is(config_get($c[0], 'commit_siblings'), '11', 'CONFIG SET holds at once for who set it');
everywhere('commit_siblings', '11', 'CONFIG SET reaches every worker');
write_file($node->conf_file, $conf . "commit_siblings = 12\ncommit_batch = 8kB\nport = 7777\nwal_flush_interval = 300ms\n");
$node->reload;
everywhere('wal_flush_interval', '300ms', 'a file without mistakes is taken over');
everywhere('commit_siblings', '11', 'CONFIG SET stays above the file');
is($c[1]->cmd('CONFIG', 'SET', 'commit_delay', '1ms', 'commit_batch', '32kB'), 'OK', 'CONFIG SET of two');
everywhere('commit_batch', '32kB', 'CONFIG SET goes above -c');
like($c[0]->err('CONFIG', 'SET', 'commit_delay', '2ms', 'commit_batch', 'x'), qr/^ERR /, 'CONFIG SET with one bad value');
is(config_get($c[0], 'commit_delay'), '1ms', 'and nothing of it holds');
like($c[0]->err('CONFIG', 'SET', 'port', '1'),   qr/^ERR /, 'CONFIG SET of a setting that needs a restart');
like($c[0]->err('CONFIG', 'SET', 'prot', '1'),   qr/^ERR /, 'CONFIG SET of an unknown setting');

# ---- CONFIG SET ends with the server ----

$node->restart;
my $c = $node->connect;
is(config_get($c, 'commit_batch'), '8kB',  'what CONFIG SET gave is gone after a restart, and so is what -c gave');
is(config_get($c, 'commit_siblings'), '12', 'and the file holds again');
is(config_get($c, 'port'), '7777', 'and what needed a restart');
$node->stop;

done_testing;
