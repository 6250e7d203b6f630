# Goal: make deps installs what is missing and only that, starts no service, says so first, and costs
# nothing where all is there.
#
# Method: t/tools/deps with a dpkg-query, an apt-get, an id and a sudo of our own in front of PATH,
# which write down what they were asked; nothing is installed.
use Artery::Test;
use Test::More;

my $deps   = test_root() . '/t/tools/deps';
my $base   = tempdir_short();
my $bin    = "$base/bin";
my $policy = "$base/policy-rc.d";
my $calls  = "$base/calls";
mkdir $bin;

sub program
{
	my ($name, $text) = @_;
	write_file("$bin/$name", "#!/bin/sh\n$text");
	chmod 0755, "$bin/$name";
	return;
}

# apt-get notes its arguments and whether services may start; what it is to fail on is in the file "refuse"
program('apt-get', <<'END');
if [ -e "$DEPS_POLICY_RC_D" ]; then "$DEPS_POLICY_RC_D"; may=$?; else may=yes; fi
echo "apt-get($may) $*" >> "$CALLS"
for word in "$@"; do
	grep -qx -- "$word" "$REFUSE" && exit 100
done
exit 0
END
program('dpkg-query', <<'END');
echo "dpkg-query" >> "$CALLS"
shift 2
for name in "$@"; do
	grep -qx -- "$name" "$ABSENT" || echo "$name:installed"
done
END
program('id', "echo \${FAKE_UID:-0}\n");
program('sudo', "[ \"\$1\" = -n ] && shift\n[ -z \"\$NO_SUDO\" ] || exit 1\necho sudo >> \"\$CALLS\"\nexec \"\$@\"\n");

# deps(absent => [...], refuse => [...], env => {...}, args => [...]): (output, calls)
sub deps
{
	my (%opt) = @_;
	write_file($calls, '');
	write_file("$base/absent", join '', map { "$_\n" } @{ $opt{absent} || [] });
	write_file("$base/refuse", join '', map { "$_\n" } @{ $opt{refuse} || [] });
	my ($code, $out, $err) = run_command([ $deps, @{ $opt{args} || [ 'build', 'check' ] } ],
		env => { PATH => "$bin:/usr/bin:/bin", CALLS => $calls, ABSENT => "$base/absent", REFUSE => "$base/refuse",
			DEPS_POLICY_RC_D => $policy, %{ $opt{env} || {} } });
	die "deps ended with $code: $out$err" if $code != 0;
	return ($out . $err, slurp_file($calls));
}

my ($out, $called) = deps();
is($out, '', 'all there: nothing is said');
is($called, "dpkg-query\n", 'and nothing done but one question');

($out, $called) = deps(args => [ '--list', 'build' ]);
like($out, qr/^packages: gcc .*liburing-dev.*\ndeps: all there\n\z/, '--list says what is needed');
unlike($out, qr/redis-server/, 'to build, no more than that');

($out, $called) = deps(absent => [ 'liburing-dev', 'redis-server', 'libcmocka-dev' ], env => { PATH => "$bin:/bin/nowhere:/usr/bin:/bin" });
like($out, qr/\Apackages: gcc .*libcmocka-dev.*\ndeps: missing: liburing-dev libcmocka-dev/, 'missing ones: the list comes first');
like($called, qr/^apt-get\(101\) .*--no-install-recommends install liburing-dev libcmocka-dev( redis-server)?$/m,
	'only they are installed, without what they recommend, and no service may start');
is($called =~ /redis-server/ ? 1 : 0, command_exists('redis-server') ? 0 : 1, 'a program that is there needs no package');
ok(!-e $policy, 'services may start again afterwards');

($out, $called) = deps(absent => ['liburing-dev'], refuse => ['liburing-dev']);
my @apt = grep { /^apt-get/ } split /\n/, $called;
is(scalar(grep { / update$/ } @apt), 1, 'package lists are refreshed when it does not go without');
like($apt[0], qr/ install liburing-dev$/, 'not before');
like($out, qr/^deps: could not install: liburing-dev$/m, 'what cannot be had is said');
ok(!-e $policy, 'services may start again after a failure');

($out, $called) = deps(absent => [ 'liburing-dev', 'libbsd-dev' ], refuse => ['liburing-dev']);
like($called, qr/ install libbsd-dev$/m, 'one that cannot be had does not keep the others away');
like($out, qr/^deps: could not install: liburing-dev$/m, 'and only it is named');

write_file($policy, "#!/bin/sh\nexit 7\n");
chmod 0755, $policy;
($out, $called) = deps(absent => ['liburing-dev']);
like($called, qr/^apt-get\(7\)/m, "a policy of the machine's own is left in force");
is(slurp_file($policy), "#!/bin/sh\nexit 7\n", 'and in place');
unlink $policy;

($out, $called) = deps(absent => ['liburing-dev'], env => { FAKE_UID => 1000 });
like($called, qr/^sudo$/m, 'an ordinary user installs through sudo');
like($called, qr/^apt-get\(101\) .* install liburing-dev$/m, 'the same');
ok(!-e $policy, 'with the same end');

($out, $called) = deps(absent => ['liburing-dev'], env => { FAKE_UID => 1000, NO_SUDO => 1 });
like($out, qr/neither root nor sudo; please run: apt-get install --no-install-recommends liburing-dev\n\z/, 'without sudo it says what to do');
unlike($called, qr/apt-get/, 'and does nothing');

command_exits([ $deps, 'dance' ], 2, qr/unknown argument "dance"/, 'wrong argument');

# all there, for real: fast enough to stand before every compilation
{
	my $best = 9;
	for (1 .. 5)
	{
		my $start = now();
		run_command([ $deps, 'build' ]);
		my $took = now() - $start;
		$best = $took if $took < $best;
	}
	SKIP:
	{
		my ($code, $text) = run_command([ $deps, '--list', 'build' ]);
		skip 'packages are missing here', 1 unless $text =~ /all there/;
		cmp_ok($best, '<', 3, 'it takes no time');
	}
}

done_testing;
