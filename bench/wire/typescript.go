package main

import _ "embed"

// consumer consumes the flood with the official SDK. It is written beside the SDK, which it imports.
//
//go:embed consume.mjs
var consumer []byte
