# Goal: the bash completions of artery_ctl and artery_verify offer what these programs take.
#
# Method: bash runs the completion function as it would at a prompt: words, current word; what it
# would offer is printed.
use Artery::Test;
use Test::More;

plan skip_all => 'no bash here' unless command_exists('bash');

# offers_of(program, words after it): what is offered for the last of them
sub offers_of
{
	my ($program, @words) = @_;
	my $script = test_root() . "/contrib/completion/$program.bash";
	my $path = bin_dir() . "/$program";
	my $list = join ' ', map { s/'/'\\''/gr =~ s/(.*)/'$1'/sr } $path, @words;
	my ($code, $out, $err) = run_command([ 'bash', '--norc', '-c',
			"source '$script'; COMP_WORDS=($list); COMP_CWORD=" . scalar(@words)
		  . "; _$program '$path'; printf '%s\\n' \"\${COMPREPLY[@]}\"" ]);
	is($err, '', "no complaint at: $program @words");
	return join ' ', grep { length } split /\n/, $out;
}
sub offers { return offers_of('artery_ctl', @_) }

is(offers(''), 'init start stop restart reload status checkpoint', 'sub-commands');
is(offers('ch'), 'checkpoint', 'one that begins so');
is(offers('re'), 'restart reload', 'those that begin so');
is(offers('stop', '-m', ''), 'smart fast immediate', 'modes');
is(offers('-m', 'i'), 'immediate', 'before the sub-command, too');
like(offers('start', '-'), qr/^-D --data .*-l --log\b.*--options$/, 'options of start');
unlike(offers('stop', '-'), qr/--log\b/, 'stop has no log');
unlike(offers('reload', '-'), qr/--mode/, 'reload has no mode');
like(offers('checkpoint', '-'), qr/--no-wait .*--timeout$/, 'options of checkpoint');
like(offers('-D', '/us'), qr{^/usr$}, 'directories');
is(offers('start', '-c', 'wal_buf'), 'wal_buffers=', 'settings, asked of the server');
is(offers('start', '-c', 'huge_pages', '='), 'off try on', 'words of a setting, as bash splits them');
is(offers('start', '-c', 'huge_pages', '=', 't'), 'try', 'and those that begin so');
is(offers('start', '-t', ''), '', 'nothing for a number');

# every option that is offered is one that --help knows
my $help = command_ok([ ctl_bin(), '--help' ], '--help');
for my $option (map { split / / } map { offers($_, '-') } qw(init start stop restart reload status checkpoint))
{
	like($help, qr/(?<![\w-])\Q$option\E\b/, "$option is in --help");
}

# ---- artery_verify ----
sub verify_offers { return offers_of('artery_verify', @_) }

is(verify_offers('--k'), '--keys', 'artery_verify: an option that begins so');
is(verify_offers('/us'), '/usr', 'a directory');
is(verify_offers('-D', '/us'), '/usr', '... after -D');
is(verify_offers('--data', '=', '/us'), '/usr', '... after --data=, as bash splits it');
is(verify_offers('--quick', '--b'), '--both', 'a second option');
unlike(verify_offers(''), qr/--/, 'no option where none is begun');
my $verify_help = command_ok([ bin_dir() . '/artery_verify', '--help' ], 'artery_verify --help');
my %offered = map { $_ => 1 } split / /, verify_offers('-');
for my $option (keys %offered)
{
	like($verify_help, qr/(?<![\w-])\Q$option\E(?![\w-])/, "$option is in --help");
}
for my $option ($verify_help =~ /^  (?:-\S, |    )(--[a-z]+)/mg)
{
	ok($offered{$option}, "$option of --help is offered");
}
cmp_ok(scalar keys %offered, '>=', 8, 'options');

done_testing;
