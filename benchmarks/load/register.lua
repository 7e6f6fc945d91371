-- Registers the client that the runner names; with a redirect URI that nobody takes, this is the refusal.
-- With BENCHMARK_KEYS each has an Idempotency-Key of its own that begins with it.
require("load.request")

function init()
  local headers = { ["Content-Type"] = "application/json" }
  prefix = os.getenv("BENCHMARK_KEYS")
  if prefix then
    turn = 0
    request = function()
      turn = turn + 1
      headers["Idempotency-Key"] = string.format("%s-%012d", prefix, turn)
      return wrk.format("POST", "/oauth2/register", headers, os.getenv("BENCHMARK_REGISTRATION"))
    end
  else
    local registration = wrk.format("POST", "/oauth2/register", headers, os.getenv("BENCHMARK_REGISTRATION"))
    request = function()
      return registration
    end
  end
end
