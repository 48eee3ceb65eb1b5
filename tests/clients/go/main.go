// follow ADDRESS SYMBOL CURSOR LAST: prints each closed candle of a symbol, one a line, with its open time and volume,
// until it has printed the one that opens at LAST. When a stream ends, it calls again at its cursor.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"tickplant.example/follow/api"
)

func main() {
	address, symbol, cursor := os.Args[1], os.Args[2], os.Args[3]
	last, err := strconv.ParseInt(os.Args[4], 10, 64)
	check(err)
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(err)
	defer connection.Close()
	market := api.NewMarketDataClient(connection)
	for {
		stream, err := market.StreamCandles(context.Background(), &api.StreamCandlesRequest{
			Symbols: []string{symbol}, Filter: api.CandleFilter_CANDLE_FILTER_CLOSED, Cursor: cursor,
		}, grpc.WaitForReady(true))
		for err == nil {
			var response *api.StreamCandlesResponse
			if response, err = stream.Recv(); err != nil {
				break
			}
			for _, candle := range response.Candles {
				fmt.Println(candle.OpenTimeUs, candle.Volume)
				if candle.OpenTimeUs >= last {
					return
				}
			}
			if response.Cursor != "" {
				cursor = response.Cursor
			}
		}
		if code := status.Code(err); err != io.EOF && code != codes.Unavailable && code != codes.ResourceExhausted {
			check(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
