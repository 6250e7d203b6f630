# Goal: make install puts a server in place that works from there, make uninstall takes it all away.
#
# Method: into a directory of its own by DESTDIR and prefix; runs what was installed.
use Artery::Test;
use Artery::Cluster;
use Test::More;

my $base = tempdir_short();
my $bin  = "$base/opt/artery/bin";

sub run_make
{
	my (@args) = @_;
	my ($code, $out, $err) = run_command([ 'make', '-s', '-C', test_root(), "DESTDIR=$base", 'prefix=/opt/artery', @args ],
		env => { ARTERY_DEPS_DONE => 1, MAKEFLAGS => '', MFLAGS => '', MAKELEVEL => '' }, timeout => 900);
	is($code, 0, "make @args") or diag($out . $err);
	return $out . $err;
}

sub installed
{
	my ($code, $out) = run_command([ 'find', $base, '-type', 'f' ]);
	return map { s/^\Q$base\E//r } sort split /\n/, $out;
}

unlike(run_make('install'), qr/warning/i, 'make install does not complain');
my @files = installed();
is_deeply([ grep { m{/bin/} } @files ], [ map { "/opt/artery/bin/$_" } sort 'artery', map { m{([^/]+)/main\.c$} } glob test_root() . '/src/bin/*/main.c' ], 'programs');
ok((grep { $_ eq '/opt/artery/share/bash-completion/completions/artery_ctl' } @files), 'the completion of bash');
for my $page ('README.md', 'LICENSE', 'doc/settings.md')
{
	ok((grep { $_ eq "/opt/artery/share/doc/artery/$page" } @files), "the page $page");
}
is_deeply([ grep { !m{^/opt/artery/(bin|share)/} } @files ], [], 'nothing elsewhere');

local $ENV{ARTERY_BINDIR} = $bin;
my $node = Artery::Cluster->new('installed');
$node->init->start;
$node->cmd('SET', 'k', 'v');
$node->restart;
is($node->cmd('GET', 'k'), 'v', 'the installed server works');
$node->stop;

run_make('uninstall');
is_deeply([ grep { m{^/opt/} } installed() ], [], 'make uninstall leaves nothing of it');

done_testing;
