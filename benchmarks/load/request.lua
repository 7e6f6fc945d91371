-- What the loads share: the clients that the runner registered, and the count of answers by status, printed at the end
-- as "status 201 4711".
local M = {}
local threads = {}

-- One client a line: path, registration access token and body, separated by tabs.
function M.clients()
  local clients = {}
  for line in io.lines(os.getenv("BENCHMARK_CLIENTS")) do
    local path, token, body = line:match("^([^\t]+)\t([^\t]+)\t(.+)$")
    table.insert(clients, { path = path, headers = { ["Authorization"] = "Bearer " .. token }, body = body })
  end
  return clients
end

function setup(thread)
  table.insert(threads, thread)
end

statuses = {}

function response(status)
  statuses[status] = (statuses[status] or 0) + 1
end

function done(summary)
  for _, thread in ipairs(threads) do
    for status, count in pairs(thread:get("statuses")) do
      print(string.format("status %d %d", status, count))
    end
  end
  local errors = summary.errors
  print(string.format("broken %d", errors.connect + errors.read + errors.write + errors.timeout))
end

return M
