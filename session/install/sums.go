package install

// Tested is the version of the CLI that this program is tested with.
const Tested = "2.1.330"

// sum are the SHA-256 sums of a package and of the binary in it.
type sum struct{ tarball, binary string }

// recorded are the sums that were taken once, by package and version.
var recorded = map[string]sum{
	"@anthropic-ai/claude-code-linux-x64@2.1.330": {
		tarball: "40ff30c5768723958032132065e6fcdd1e2dc3a2b3ff9a0bf36c6620ef1c40ef",
		binary:  "f390eaa0814e6a1bff74cbb47acb74cb9c89d30ced809fe0af5af00c7bfe8ebb",
	},
}
