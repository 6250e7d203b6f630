# Goal: the bash completion of artery_ctl offers what artery_ctl takes.
#
# Method: bash runs the completion function as it would at a prompt: words, current word; what it
# would offer is printed.
use Artery::Test;
use Test::More;

plan skip_all => 'no bash here' unless command_exists('bash');

my $script = test_root() . '/contrib/completion/artery_ctl.bash';

# offers(words after artery_ctl): what is offered for the last of them
sub offers
{
	my (@words) = @_;
	my $list = join ' ', map { s/'/'\\''/gr =~ s/(.*)/'$1'/sr } ctl_bin(), @words;
	my ($code, $out, $err) = run_command([ 'bash', '--norc', '-c',
			"source '$script'; COMP_WORDS=($list); COMP_CWORD=" . scalar(@words)
		  . "; _artery_ctl '" . ctl_bin() . "'; printf '%s\\n' \"\${COMPREPLY[@]}\"" ]);
	is($err, '', "no complaint at: @words");
	return join ' ', grep { length } split /\n/, $out;
}

is(offers(''), 'init start stop restart reload status', 'sub-commands');
is(offers('re'), 'restart reload', 'those that begin so');
is(offers('stop', '-m', ''), 'smart fast immediate', 'modes');
is(offers('-m', 'i'), 'immediate', 'before the sub-command, too');
like(offers('start', '-'), qr/^-D --data .*-l --log\b.*--options$/, 'options of start');
unlike(offers('stop', '-'), qr/--log\b/, 'stop has no log');
unlike(offers('reload', '-'), qr/--mode/, 'reload has no mode');
like(offers('-D', '/us'), qr{^/usr$}, 'directories');
is(offers('start', '-c', 'wal_buf'), 'wal_buffers=', 'settings, asked of the server');
is(offers('start', '-c', 'huge_pages', '='), 'off try on', 'words of a setting, as bash splits them');
is(offers('start', '-c', 'huge_pages', '=', 't'), 'try', 'and those that begin so');
is(offers('start', '-t', ''), '', 'nothing for a number');

# every option that is offered is one that --help knows
my $help = command_ok([ ctl_bin(), '--help' ], '--help');
for my $option (map { split / / } map { offers($_, '-') } qw(init start stop restart reload status))
{
	like($help, qr/(?<![\w-])\Q$option\E\b/, "$option is in --help");
}

done_testing;
