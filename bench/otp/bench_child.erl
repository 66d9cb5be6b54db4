%% A child that says when it is up, and crashes when it is told to, or by itself.
-module(bench_child).
-behaviour(gen_server).
-export([start_link/1, init/1, handle_continue/2, handle_call/3, handle_cast/2, handle_info/2]).

start_link(Argument) -> gen_server:start_link(?MODULE, Argument, []).

init({I, none}) -> {ok, I};
init({I, {Bench, Crash}}) ->
    Bench ! {up, I, self(), erlang:monotonic_time(nanosecond)},
    {ok, Crash};
init({_, _, _, _} = Storm) -> {ok, Storm, {continue, crash}}.

handle_continue(crash, {Count, N, Step, Bench} = Storm) ->
    K = counters:get(Count, 1),
    counters:add(Count, 1, 1),
    case K =:= 0 orelse K =:= Step orelse K =:= N - Step orelse K =:= N of
        true -> Bench ! {mark, K, erlang:monotonic_time(nanosecond)};
        false -> ok
    end,
    case K < N of
        true -> {stop, boom, Storm};
        false -> {noreply, Storm}
    end.

handle_info(crash, Crash) ->
    atomics:put(Crash, 1, erlang:monotonic_time(nanosecond)),
    {stop, boom, Crash}.

handle_call(_, _, State) -> {reply, ok, State}.
handle_cast(_, State) -> {noreply, State}.
