package session

import (
	"fmt"

	"golang.org/x/mod/semver"

	"github.com/understudy-run/understudy/session/process"
)

// VersionError says that the CLI is older than what this program is tested with. The session is parked: a restart would
// find the same program.
type VersionError struct {
	Version string // of the CLI
	Oldest  string // that is tested
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("the CLI is version %s, and %s is the oldest that this program is tested with: "+
		"install that (understudy cli install %s) and set cli.path to it", e.Version, e.Oldest, e.Oldest)
}

// checkVersion looks at the version that a CLI says it is: an error for one that is too old, a warning for one that is newer
// than what was tested, or says nothing that can be compared.
func checkVersion(version string) (warning string, err error) {
	switch v := "v" + version; {
	case !semver.IsValid(v):
		return fmt.Sprintf("the CLI says its version is %q, which is none: this program is tested with %s", cut(version, 40), process.NewestCLI), nil
	case semver.Compare(v, "v"+process.OldestCLI) < 0:
		return "", &VersionError{Version: version, Oldest: process.OldestCLI}
	case semver.Compare(v, "v"+process.NewestCLI) > 0:
		return fmt.Sprintf("the CLI is version %s, newer than %s, the newest that this program is tested with: "+
			"watch the counts of what it does not know", version, process.NewestCLI), nil
	}
	return "", nil
}
