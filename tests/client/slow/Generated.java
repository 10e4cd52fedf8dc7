// The annotation that generated classes have. It is a package of its own elsewhere, and means nothing when they run.
package javax.annotation;

public @interface Generated {
    String value();

    String date() default "";

    String comments() default "";
}
