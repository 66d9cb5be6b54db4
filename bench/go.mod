// The benchmark beside other supervisors: a module of its own, so that whoever embeds understudy does not
// get its dependencies.
module github.com/understudy-run/understudy/bench

go 1.26.0

require (
	github.com/thejerf/suture/v4 v4.0.6
	github.com/understudy-run/understudy v0.0.0
)

require (
	github.com/DataDog/gostackparse v0.7.0 // indirect
	github.com/anthdm/hollywood v1.0.5 // indirect
	github.com/klauspost/cpuid/v2 v2.0.9 // indirect
	github.com/mattn/go-colorable v0.1.13 // indirect
	github.com/mattn/go-isatty v0.0.19 // indirect
	github.com/rs/zerolog v1.34.0 // indirect
	github.com/zeebo/xxh3 v1.0.2 // indirect
	golang.org/x/sys v0.48.0 // indirect
	google.golang.org/protobuf v1.36.8 // indirect
)

replace github.com/understudy-run/understudy => ..
