package audit

// isCompact reports whether raw is valid JSON without a space outside of strings, as programs write it: then it need not be
// made so, which takes eight times as long. It may say no to what is valid and compact: to what is nested deeper than 64 levels, and
// to numbers other than plain ones.
func isCompact(raw []byte) bool {
	objects, depth := uint64(0), 0 // what encloses: the lowest bit is set if the innermost is an object
	for i := 0; ; {
		// A value begins here.
		if i >= len(raw) {
			return false
		}
		switch c := raw[i]; c {
		case '{', '[':
			if depth == 64 || i+1 >= len(raw) {
				return false
			}
			depth++
			objects <<= 1
			if i++; c == '[' {
				if raw[i] != ']' {
					continue
				}
			} else {
				objects |= 1
				if raw[i] != '}' {
					if i = keyEnd(raw, i); i < 0 {
						return false
					}
					continue
				}
			}
			// An empty one: its end is seen to below.
		case '"':
			if i = textEnd(raw, i); i < 0 {
				return false
			}
		case 't', 'f', 'n':
			word := literals[c]
			if len(raw)-i < len(word) || string(raw[i:i+len(word)]) != word {
				return false
			}
			i += len(word)
		default:
			if i = numberEnd(raw, i); i < 0 {
				return false
			}
		}
		// It has ended, and so may what encloses it.
		for ; ; i++ {
			if depth == 0 {
				return i == len(raw)
			}
			if i >= len(raw) {
				return false
			}
			if c := raw[i]; c == ',' {
				if i++; objects&1 == 1 {
					if i = keyEnd(raw, i); i < 0 {
						return false
					}
				}
				break
			} else if c != "]}"[objects&1] {
				return false
			}
			objects >>= 1
			depth--
		}
	}
}

var literals = ['t' + 1]string{'t': "true", 'f': "false", 'n': "null"}

// keyEnd is where the value of a field begins whose name begins at i, negative if no name does.
func keyEnd(raw []byte, i int) int {
	if i >= len(raw) || raw[i] != '"' {
		return -1
	}
	if i = textEnd(raw, i); i < 0 || i >= len(raw) || raw[i] != ':' {
		return -1
	}
	return i + 1
}

// textEnd is where the string ends that begins at i, negative if it is none.
func textEnd(raw []byte, i int) int {
	for i++; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			if i++; i >= len(raw) {
				return -1
			}
			switch raw[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				if _, ok := hex4(string(raw[i-1 : min(i+5, len(raw))])); !ok {
					return -1
				}
				i += 4
			default:
				return -1
			}
		case c < ' ':
			return -1
		}
	}
	return -1
}

// numberEnd is where the number ends that begins at i, negative if it is none, or has an exponent.
func numberEnd(raw []byte, i int) int {
	if i < len(raw) && raw[i] == '-' {
		i++
	}
	whole := digitsEnd(raw, i)
	if whole == i || raw[i] == '0' && whole > i+1 {
		return -1
	}
	if whole == len(raw) || raw[whole] != '.' {
		return whole
	}
	if end := digitsEnd(raw, whole+1); end > whole+1 {
		return end
	}
	return -1
}

func digitsEnd(raw []byte, i int) int {
	for i < len(raw) && '0' <= raw[i] && raw[i] <= '9' {
		i++
	}
	return i
}
