package lab.edc;

import jakarta.ws.rs.container.ContainerResponseFilter;
import jakarta.ws.rs.core.MediaType;
import okhttp3.Response;
import org.eclipse.edc.connector.dataplane.http.params.HttpRequestFactory;
import org.eclipse.edc.connector.dataplane.http.spi.HttpRequestParamsProvider;
import org.eclipse.edc.connector.dataplane.spi.Endpoint;
import org.eclipse.edc.connector.dataplane.spi.iam.PublicEndpointGeneratorService;
import org.eclipse.edc.connector.dataplane.spi.pipeline.DataSource;
import org.eclipse.edc.connector.dataplane.spi.pipeline.DataSourceFactory;
import org.eclipse.edc.connector.dataplane.spi.pipeline.PipelineService;
import org.eclipse.edc.connector.dataplane.spi.pipeline.StreamResult;
import org.eclipse.edc.http.spi.EdcHttpClient;
import org.eclipse.edc.runtime.metamodel.annotation.Inject;
import org.eclipse.edc.spi.EdcException;
import org.eclipse.edc.spi.result.Result;
import org.eclipse.edc.spi.system.ServiceExtension;
import org.eclipse.edc.spi.system.ServiceExtensionContext;
import org.eclipse.edc.spi.types.domain.transfer.DataFlowStartMessage;
import org.eclipse.edc.web.spi.WebService;
import org.eclipse.edc.web.spi.configuration.ApiContext;

import java.io.IOException;
import java.io.InputStream;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Stream;

/**
 * Imitates the data address type {@code ProxyHttpData} of tractusx-edc from 0.11.0 on, which 0.10.0, the version of this
 * lab, does not have: the supplier sees status, headers and body of the backend as they are, but as before 0.13 the
 * backend is not told who is sending.
 * <p>
 * The public API of 0.10.0 answers 200 always and takes only the media type from the source. So the source leaves the
 * backend's answer in a map and writes its key into the media type; a response filter puts the answer in place.
 */
public class LabProxyHttpExtension implements ServiceExtension {

    private static final String TYPE = "ProxyHttpData";
    private static final String KEY = "lab-answer";

    private final Map<String, Response> answers = new ConcurrentHashMap<>();

    @Inject
    private PipelineService pipeline;
    @Inject
    private EdcHttpClient client;
    @Inject
    private HttpRequestParamsProvider params;
    @Inject
    private PublicEndpointGeneratorService endpoints;
    @Inject
    private WebService web;

    @Override
    public String name() {
        return "Lab " + TYPE;
    }

    @Override
    public void initialize(ServiceExtensionContext context) {
        var endpoint = Endpoint.url(context.getConfig().getString("edc.dataplane.api.public.baseurl"));
        endpoints.addGeneratorFunction(TYPE, address -> endpoint);
        pipeline.registerFactory(new DataSourceFactory() {
            @Override
            public String supportedType() {
                return TYPE;
            }

            @Override
            public DataSource createSource(DataFlowStartMessage request) {
                return new Source(request);
            }

            @Override
            public Result<Void> validateRequest(DataFlowStartMessage request) {
                return Result.success();
            }
        });
        web.registerResource(ApiContext.PUBLIC, (ContainerResponseFilter) (request, response) -> {
            var key = response.getMediaType() == null ? null : response.getMediaType().getParameters().get(KEY);
            var answer = key == null ? null : answers.remove(key);
            if (answer != null) {
                response.setStatus(answer.code());
                response.getHeaders().clear();
                answer.headers().forEach(h -> response.getHeaders().add(h.getFirst(), h.getSecond()));
                var type = answer.header("Content-Type");
                response.getHeaders().putSingle("Content-Type", type == null ? MediaType.APPLICATION_OCTET_STREAM : type);
            }
        });
    }

    private class Source implements DataSource {

        private final DataFlowStartMessage request;
        private Response answer;

        Source(DataFlowStartMessage request) {
            this.request = request;
        }

        @Override
        public StreamResult<Stream<Part>> openPartStream() {
            try {
                answer = client.execute(new HttpRequestFactory().toRequest(params.provideSourceParams(request)));
            } catch (IOException e) {
                throw new EdcException(e);
            }
            return StreamResult.success(Stream.of(new Part() {
                @Override
                public String name() {
                    return TYPE;
                }

                @Override
                public InputStream openStream() {
                    return answer.body().byteStream();
                }

                @Override
                public String mediaType() {
                    if (jakarta.ws.rs.core.Response.Status.fromStatusCode(answer.code()) == null) {
                        // the real one fails in this way where JAX-RS has no name for the status, such as 422
                        throw new IllegalArgumentException("Response status must not be 'null'");
                    }
                    var key = UUID.randomUUID().toString();
                    answers.put(key, answer);
                    return "application/octet-stream;" + KEY + "=" + key;
                }
            }));
        }

        @Override
        public void close() {
            if (answer != null) {
                answer.close();
            }
        }
    }
}
