import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;

/** Runs errands with HttpURLConnection, as older CAD systems in Java do; see Program in harness/clients.py. */
final class Client {
    private static final int TIMEOUT_MS = 30_000;
    private static final int CHUNK = 8_192;

    public static void main(String[] arguments) throws IOException {
        if (!arguments[0].equals("-")) {
            URI proxy = URI.create(arguments[0]);
            System.setProperty("http.proxyHost", proxy.getHost());
            System.setProperty("http.proxyPort", String.valueOf(proxy.getPort()));
        }
        BufferedReader errands = new BufferedReader(new InputStreamReader(System.in));
        for (String line = errands.readLine(); line != null; line = errands.readLine()) {
            System.out.println(run(line.split("\t")));
        }
    }

    private static int run(String[] errand) throws IOException {
        HttpURLConnection connection = (HttpURLConnection) new URL(errand[1]).openConnection();
        connection.setConnectTimeout(TIMEOUT_MS);
        connection.setReadTimeout(TIMEOUT_MS);
        connection.setRequestMethod(errand[0]);
        connection.setRequestProperty("Authorization", errand[5]);
        if (!errand[2].equals("none")) {
            send(connection, errand[2].equals("chunked"), Path.of(errand[3]));
        }
        int status = connection.getResponseCode();
        try (InputStream answer = status < 400 ? connection.getInputStream() : connection.getErrorStream()) {
            // Read to its end, or the connection is not used again.
            Files.write(Path.of(errand[4]), answer == null ? new byte[0] : answer.readAllBytes());
        }
        return status;
    }

    private static void send(HttpURLConnection connection, boolean isChunked, Path body) throws IOException {
        connection.setDoOutput(true);
        if (isChunked) {
            connection.setChunkedStreamingMode(CHUNK);
        } else {
            connection.setFixedLengthStreamingMode(Files.size(body));
        }
        try (OutputStream stream = connection.getOutputStream()) {
            Files.copy(body, stream);
        }
    }
}
