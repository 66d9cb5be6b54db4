package debug

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestHostileRequests has the endpoint asked, over real connections, by whoever means it ill. What is refused has done nothing, no
// answer holds the token, and the server serves its own people afterwards.
func TestHostileRequests(t *testing.T) {
	const secret = "s3cret-token-0123456789"
	f := newFake()
	server := NewServer(fixed(f, Options{Actions: true, Token: secret, RequireTokenForReads: true, MaxBody: 1 << 10}))
	require.NotZero(t, server.ReadHeaderTimeout)
	require.NotZero(t, server.ReadTimeout)
	require.NotZero(t, server.WriteTimeout)
	require.NotZero(t, server.IdleTimeout)
	// As long as those of the daemon nobody wants to wait here.
	server.ReadHeaderTimeout, server.ReadTimeout = 300*time.Millisecond, 300*time.Millisecond
	var open sync.WaitGroup // net/http lets some of the connections linger half a second
	server.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed, http.StateHijacked:
			open.Done()
		case http.StateActive, http.StateIdle:
		}
	}
	listener, err := ListenTCP("127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = server.Serve(listener) }() // ends with the test
	t.Cleanup(func() {
		_ = server.Close()
		open.Wait()
	})
	address := listener.Addr().String()

	request := func(line string, lines ...string) string {
		return line + "\r\n" + strings.Join(append(lines, "", ""), "\r\n")
	}
	const restart = Path + "sessions/reviewer/restart"
	auth, here := "Authorization: Bearer "+secret, "Host: "+address
	length := func(n int) string { return fmt.Sprint("Content-Length: ", n) }
	post := func(target string, lines ...string) string {
		return request("POST "+target+" HTTP/1.1", append(lines, length(0))...)
	}
	for name, test := range map[string]struct {
		send string
		want []int // 0: the connection is closed without an answer
	}{
		"wrong Host":                     {post(restart, "Host: evil.example", auth), []int{421}},
		"rebound name with the port":     {post(restart, "Host: evil.example:"+strings.Split(address, ":")[1], auth), []int{421}},
		"no Host":                        {post(restart, auth), []int{400}},
		"two Hosts":                      {post(restart, here, "Host: evil.example", auth), []int{400}},
		"Host of another scheme":         {post("http://evil.example"+restart, here, auth), []int{421}},
		"HTTP/1.0 without Host":          {request("POST "+restart+" HTTP/1.0", auth, length(0)), []int{421}},
		"forwarded name":                 {post(restart, here, "X-Forwarded-Host: localhost"), []int{401}},
		"forwarded for this machine":     {post(restart, here, "X-Forwarded-For: 127.0.0.1"), []int{401}},
		"cross-site":                     {post(restart, here, auth, "Sec-Fetch-Site: cross-site"), []int{403}},
		"same site, another origin":      {post(restart, here, auth, "Sec-Fetch-Site: same-site"), []int{403}},
		"another origin":                 {post(restart, here, auth, "Origin: http://evil.example"), []int{403}},
		"another port":                   {post(restart, here, auth, "Origin: http://127.0.0.1:1"), []int{403}},
		"origin null":                    {post(restart, here, auth, "Origin: null"), []int{403}},
		"preflight":                      {request("OPTIONS "+restart+" HTTP/1.1", here, "Origin: http://evil.example", "Access-Control-Request-Method: POST"), []int{401, 403, 405}},
		"no token":                       {post(restart, here), []int{401}},
		"guess":                          {post(restart, here, "Authorization: Bearer guess"), []int{401}},
		"empty token":                    {post(restart, here, "Authorization: Bearer "), []int{401}},
		"beginning of the token":         {post(restart, here, auth[:len(auth)-1]), []int{401}},
		"token in the address":           {post(restart+"?token="+secret, here), []int{401}},
		"token in a cookie":              {post(restart, here, "Cookie: token="+secret), []int{401}},
		"two tokens":                     {post(restart, here, "Authorization: Bearer guess", auth), []int{401}},
		"token as password":              {post("http://x:"+secret+"@"+address+restart, here), []int{401}},
		"change by GET":                  {request("GET "+restart+" HTTP/1.1", here, auth), []int{404, 405}},
		"change by HEAD":                 {request("HEAD "+restart+" HTTP/1.1", here, auth), []int{404, 405}},
		"method override":                {request("GET "+restart+" HTTP/1.1", here, auth, "X-HTTP-Method-Override: POST"), []int{404, 405}},
		"method in the address":          {request("GET "+restart+"?_method=POST HTTP/1.1", here, auth), []int{404, 405}},
		"TRACE":                          {request("TRACE "+restart+" HTTP/1.1", here, auth), []int{403, 404, 405}},
		"CONNECT":                        {request("CONNECT "+address+" HTTP/1.1", here, auth), []int{400, 403, 404, 405}},
		"up and out":                     {post(Path+"../../etc/passwd", here, auth), []int{307, 308, 404, 405}},
		"up and back":                    {post(Path+"sessions/x/../reviewer/restart", here, auth), []int{307, 308, 404, 405}},
		"escaped dots":                   {post(Path+"sessions/%2e%2e/reviewer/restart", here, auth), []int{307, 308, 404, 405}},
		"escaped slash":                  {post(Path+"sessions/reviewer%2frestart", here, auth), []int{404, 405}},
		"twice escaped slash":            {post(Path+"sessions/reviewer%252frestart", here, auth), []int{404, 405}},
		"double slash":                   {post("/"+Path+"sessions/reviewer/restart", here, auth), []int{307, 308, 404, 405}},
		"backslash":                      {post(Path+`sessions\reviewer\restart`, here, auth), []int{404, 405}},
		"NUL":                            {post(Path+"sessions/reviewer%00/restart", here, auth), []int{400, 404, 405}},
		"no name":                        {post(Path+"sessions//restart", here, auth), []int{307, 308, 404, 405}},
		"body larger than allowed":       {request("POST "+Path+"sessions/reviewer/query HTTP/1.1", here, auth, "Content-Type: application/json", length(4096)) + `{"prompt":"` + strings.Repeat("x", 4083) + `"}`, []int{413}},
		"body of unknown length, larger": {request("POST "+Path+"sessions/reviewer/query HTTP/1.1", here, auth, "Content-Type: application/json", "Transfer-Encoding: chunked") + "1000\r\n" + `{"prompt":"` + strings.Repeat("x", 0x1000-11) + "\r\n0\r\n\r\n", []int{413}},
		"body that says a length twice":  {request("POST "+restart+" HTTP/1.1", here, auth, length(0), length(5)) + "hello", []int{400}},
		"length and chunks":              {request("POST "+restart+" HTTP/1.1", here, auth, length(9), "Transfer-Encoding: gzip") + "whatever!", []int{400, 501}},
		"header larger than allowed":     {request("POST "+restart+" HTTP/1.1", here, auth, "X: "+strings.Repeat("x", 128<<10)), []int{431}},
		"address larger than allowed":    {request("POST "+restart+"?"+strings.Repeat("x", 128<<10)+" HTTP/1.1", here, auth), []int{414, 431}},
		"a second request in the first":  {post(restart, "Host: evil.example", auth, "X: a\nPOST "+restart+" HTTP/1.1"), []int{400, 421}},
		"no HTTP":                        {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", []int{400}},
		"HTTP/2 without asking":          {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{0, 400, 403, 404, 421, 505}},
		"slow header":                    {"POST " + restart + " HTTP/1.1\r\n" + here + "\r\n" + auth + "\r\nX: ", []int{0, 408}},
		"nothing at all":                 {"", []int{0, 408}},
		"slow body": {request("POST "+Path+"sessions/reviewer/query HTTP/1.1", here, auth, "Content-Type: application/json", length(100)) + `{"prompt":`,
			[]int{0, 400, 408}},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", address)
			require.NoError(t, err)
			defer c.Close()
			require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute))) // for a busy machine
			_, _ = io.WriteString(c, test.send)                            // it may hang up before all of it is sent
			answer, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: strings.Fields(test.send + " .")[0]})
			if err != nil {
				require.Contains(t, test.want, 0, "%v", err)
				assert.Empty(t, f.called())
				return
			}
			body, _ := io.ReadAll(answer.Body) // cut where it hangs up
			_ = answer.Body.Close()
			assert.Contains(t, test.want, answer.StatusCode, "%s", body)
			assert.Empty(t, f.called(), "nothing was done")
			assert.NotContains(t, string(body), secret)
			for key, values := range answer.Header {
				assert.NotContains(t, strings.Join(values, " "), secret, key)
				assert.NotEqual(t, "Access-Control-Allow-Origin", key)
			}
		})
	}
	good, err := http.NewRequest(http.MethodPost, "http://"+address+restart, nil)
	require.NoError(t, err)
	good.Header.Set("Authorization", "Bearer "+secret)
	answer, err := http.DefaultClient.Do(good)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	assert.Less(t, answer.StatusCode, 300)
	assert.NotEmpty(t, f.called())
}
